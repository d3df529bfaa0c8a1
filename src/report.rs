/// Placeholder; the lead writes this module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {}
