//! The archive's routes.

pub(super) mod asking;
