//! The schema registry, through `platform`.

use platform::exit::Failure;
use platform::registry::{Registry as Client, RegistryFault};
use platform::settings::{Link, Settings, links};

use crate::contract::Subject;
use crate::evolution::may_follow;
use crate::setup::plan::{FoundSchema, FoundSubject};
use crate::table::clean;

/// The registry of `registry.url`.
pub(crate) struct Registry {
    client: Client,
    url: String,
}

impl Registry {
    /// Checks the settings; connects to nothing yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Failure> {
        links(settings, &[Link::Registry])?;
        settings.require(&["registry.url"])?;
        Ok(Self { client: Client::new(settings)?, url: settings.text("registry.url").to_owned() })
    }

    /// What the registry holds of a subject; `None` where it holds nothing.
    pub(crate) async fn look(&self, subject: &Subject) -> Result<Option<FoundSubject>, Failure> {
        let failed = |fault| self.failure(&fault);
        let compatibility = self.client.compatibility(subject.name).await.map_err(failed)?;
        let schema = match self.client.schema_id(subject.name, subject.avsc).await {
            Ok(_) => FoundSchema::Registered,
            Err(RegistryFault::NotFound { .. }) if compatibility.is_none() => return Ok(None),
            Err(RegistryFault::NotFound { .. }) => FoundSchema::None,
            Err(RegistryFault::Different { .. }) => self.succession(subject).await?,
            Err(fault) => return Err(failed(fault)),
        };
        Ok(Some(FoundSubject { compatibility, schema }))
    }

    /// Whether the schema may follow the registered ones: by the agreed rule, and by the
    /// registry's own word.
    async fn succession(&self, subject: &Subject) -> Result<FoundSchema, Failure> {
        let versions = self.versions(subject).await?;
        if versions.is_empty() {
            return Ok(FoundSchema::None);
        }
        if let Err(why) = may_follow(subject.compatibility, subject.avsc, &versions) {
            return Ok(FoundSchema::MayNotFollow(why));
        }
        let word = self.client.is_compatible(subject.name, subject.avsc).await.map_err(|fault| self.failure(&fault))?;
        Ok(match word {
            Ok(()) => FoundSchema::MayFollow,
            Err(reasons) => FoundSchema::MayNotFollow(format!("the registry says: {}", clean(&reasons.join("; ")))),
        })
    }

    /// Number and text of every version, ascending; empty where the subject is not there.
    pub(crate) async fn versions(&self, subject: &Subject) -> Result<Vec<(u32, String)>, Failure> {
        let failed = |fault| self.failure(&fault);
        let numbers = match self.client.versions(subject.name).await {
            Ok(numbers) => numbers,
            Err(RegistryFault::NotFound { .. }) => return Ok(Vec::new()),
            Err(fault) => return Err(failed(fault)),
        };
        let mut versions = Vec::with_capacity(numbers.len());
        for number in numbers {
            let (_, text) = self.client.schema(subject.name, Some(number)).await.map_err(failed)?;
            versions.push((number, text));
        }
        Ok(versions)
    }

    /// Sets the agreed rule.
    pub(crate) async fn set_compatibility(&self, subject: &Subject) -> Result<(), Failure> {
        self.client.set_compatibility(subject.name, subject.compatibility).await.map_err(|fault| self.failure(&fault))
    }

    /// Registers the schema of this program.
    pub(crate) async fn register(&self, subject: &Subject) -> Result<(), Failure> {
        self.client.register(subject.name, subject.avsc).await.map(drop).map_err(|fault| self.failure(&fault))
    }

    fn failure(&self, fault: &RegistryFault) -> Failure {
        let hint = match fault {
            RegistryFault::Unreachable { .. } => format!(
                "is the schema registry running, and is registry.url ({}) its address, with the path /apis/ccompat/v7?",
                self.url
            ),
            RegistryFault::Denied { .. } => {
                "check registry.username and the content of registry.password_file".to_owned()
            }
            RegistryFault::Refused { .. } => "`sisdmk schema check` and `sisdmk schema diff` tell more".to_owned(),
            RegistryFault::NotFound { .. } | RegistryFault::Different { .. } => {
                "run `sisdmk setup` first; it registers the schemas".to_owned()
            }
        };
        Failure::environment(format!("failed to {fault}")).hint(hint)
    }
}
