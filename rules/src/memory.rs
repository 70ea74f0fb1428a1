//! What is kept from one record to the next of the same source.

use schemas::layout::{EmploymentField, Order, PelatihanField, PendidikanField, PersonField};

/// The order in which the fields of the records so far have come: the next record's most likely are in the same.
///
/// One for each thread that judges, kept as long as it does. No verdict depends on it; records of another source make it
/// useless for a while and nothing worse.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub(crate) person: Order<PersonField>,
    pub(crate) lists: ListOrders,
}

/// The same for the elements of the lists.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListOrders {
    pub(crate) employment: Order<EmploymentField>,
    pub(crate) pendidikan: Order<PendidikanField>,
    pub(crate) pelatihan: Order<PelatihanField>,
}
