//! The engine's few settings; everything else is a constant in [`limits`](crate::limits).

/// Settings of an [`Engine`](crate::Engine).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Bytes per second that may be sent; `None` for no limit. Changed by
    /// [`Event::Limits`](crate::Event::Limits).
    pub up: Option<u64>,
    /// Bytes per second that may be asked for; `None` for no limit.
    pub down: Option<u64>,
}
