//! One request to the source, put as the producer puts it, with a login before it where one is needed.
//!
//! Its answer is for an operator who writes a profile: what came, before anything is made of it. The body stays in
//! memory and is never printed here or elsewhere; whoever looks at it tells names and kinds.

use crate::config::{Api, FacilityList, facility_list, page_rows_max};
pub use crate::cycle::FaultKind;
use crate::cycle::{Ask, Fault};
use crate::edge::facilities;
use crate::edge::sisdmk::{Link, query};
use crate::page::{self, Page};
use crate::profile::Profile;
use crate::region::{self, Region};
use platform::exit::Failure;
use platform::settings::{self, Settings, links};
use platform::telemetry::TraceContext;
use std::fmt;
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

/// What came of it.
pub struct Probed {
    /// The profile and its version.
    pub source: String,
    /// The region or facility that was asked for.
    pub place: String,
    /// `X-Request-ID`: finds the request in the source's log. The login's, where nothing but a login went out.
    pub request_id: Uuid,
    /// HTTP status, or our word for what failed.
    pub code: String,
    /// From the request to the last byte.
    pub took: Duration,
    /// HTTP status of the answer, where there was one.
    pub http_status: Option<u16>,
    /// True if a login went before it and brought a token; none where the profile has no login.
    pub logged_in: Option<bool>,
    /// The page, or what is wrong with the answer.
    pub page: Result<Page, Fault>,
    body: Vec<u8>,
}

impl fmt::Debug for Probed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Probed").field("code", &self.code).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

impl Probed {
    /// The records of the page, each with its exact bytes.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        let ranges = self.page.iter().flat_map(|page| &page.records);
        ranges.map(|range| self.body.get(range.clone()).unwrap_or_default())
    }

    /// The whole answer; empty where it did not come with status 200.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The first one that is configured.
    First,
    /// A province or regency.
    Region(String),
    /// A facility.
    Facility(String),
}

/// Asks once.
///
/// # Errors
/// Exit 2: a setting is missing or does not fit, or the place is none of this source's. What the source does is
/// no error here.
pub async fn probe(settings: &Settings, place: &Place) -> Result<Probed, Failure> {
    links(settings, &[settings::Link::Source])?;
    let api = Api::new(settings)?;
    let region = region(settings, &api, place)?;
    let link = Link::new(&api)?;
    let profile = &api.profile;
    let limit = profile.paging.limit.is_some().then(|| page_rows_max(settings, profile));
    let ask = Ask { region, since: None, until: None, page: 1, limit, cursor: None };
    let reply = link.get(&profile.request.path, &query(profile, &ask), &TraceContext::new_root()).await;
    let content_type = reply.content_type().map(str::to_owned);
    let http_status = reply.head.as_ref().map(|(status, _)| status.as_u16());
    let mut code = reply.code;
    let (body, page) = match reply.body {
        Err(fault) => (Vec::new(), Err(fault)),
        Ok(body) => {
            let page = page::read(&body, content_type.as_deref(), &profile.answer, &profile.paging);
            let page = page.map_err(|fault| Fault { kind: fault.kind(), code: fault.code(), retry_after: None });
            if let Err(fault) = &page {
                fault.code.clone_into(&mut code);
            }
            (body, page)
        }
    };
    Ok(Probed {
        source: profile.source(),
        place: ask.region.to_string(),
        request_id: reply.request_id,
        code,
        took: reply.took,
        http_status,
        logged_in: profile.auth.login.is_some().then_some(reply.sent),
        page,
        body,
    })
}

/// How many facilities the list of the configuration names; none where the source is not read by such a list.
///
/// # Errors
/// Exit 2: a list that cannot be used, with its lines; settings that do not go with the profile.
pub fn facilities(settings: &Settings, profile: &Profile) -> Result<Option<usize>, Failure> {
    match facility_list(settings, profile)? {
        Some(FacilityList::File(path)) => Ok(Some(listed(&path)?.len())),
        Some(FacilityList::Source) | None => Ok(None),
    }
}

fn listed(path: &Path) -> Result<Vec<Region>, Failure> {
    facilities::read(path).map_err(|fault| Failure::config(format!("source.facilities_file: {fault}")))
}

/// The place as a parameter of a request.
fn region(settings: &Settings, api: &Api, place: &Place) -> Result<Region, Failure> {
    let request = &api.profile.request;
    let usage = |message: &str| Failure::config(message);
    match place {
        Place::Facility(code) if request.facility.is_some() => Region::facility(code)
            .ok_or_else(|| usage("the facility is no code: letters, digits, '.', '_' and '-', no 16 digits")),
        Place::Facility(_) => Err(usage("this source is read by region: give --region")),
        Place::Region(_) if request.facility.is_some() => {
            Err(usage("this source is read by facility: give --facility"))
        }
        Place::Region(code) => {
            let region =
                Region::parse(code).filter(Region::is_known).ok_or_else(|| usage("there is no such region"))?;
            let parameter = if region.is_province() { &request.province } else { &request.regency };
            match parameter {
                Some(_) => Ok(region),
                None => Err(usage("the profile has no request parameter for that kind of region")),
            }
        }
        Place::First if request.facility.is_some() => match facility_list(settings, &api.profile)? {
            Some(FacilityList::File(path)) => {
                let first = listed(&path)?.into_iter().next();
                first.ok_or_else(|| usage("source.facilities_file: the list of facilities is empty"))
            }
            _ => Err(usage("this source is read by facility: give --facility")),
        },
        Place::First => {
            let configured = settings.list("source.regions").iter().find_map(|code| Region::parse(code));
            let any = if request.province.is_some() {
                region::provinces()
            } else {
                region::provinces().first().map(region::regencies).unwrap_or_default()
            };
            configured.or_else(|| any.into_iter().next()).ok_or_else(|| usage("there is no region"))
        }
    }
}
