//! The limits of one plugin that can be reached: one counter for all of them,
//! and a word in the log.
//!
//! Owns their names, which are the keys of the operator's configuration. Does
//! not enforce any; whoever does tells [`crate::telemetry::Meter::limit`].

/// A limit of [`crate::Limits`] that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The component has too many bytes.
    ComponentBytes,
    /// A store got no more memory.
    MemoryBytes,
    /// A store got no more elements of tables.
    TableElements,
    /// A store got no more handles.
    Handles,
    /// A call between plugin and host carried too much.
    HostCallBytes,
    /// The plugin computed for too long.
    Turn,
    /// The plugin's code exhausted its stack.
    WasmStackBytes,
    /// A request under `/roster_admin/` took too long.
    HandleTimeout,
    /// Too many calls of `fetch` waited.
    WaitingCalls,
    /// A call of `fetch` had to wait to be made again.
    RetryCalls,
    /// Too many requests under `/roster_admin/` were handled.
    HandleCalls,
    /// The plugin wrote too much to the log.
    LogBytesPerSecond,
    /// A line for the log was cut.
    LogLineBytes,
    /// A fetch took too long.
    Timeout,
    /// A request to the app took too long.
    RequestTimeout,
    /// A connection to the app took too long.
    ConnectTimeout,
    /// A request had to wait for others to end.
    ConcurrentRequests,
    /// A request was not made once more after a failure, since too many were.
    RetryShare,
    /// A request had too large a body.
    RequestBytes,
    /// A response had too large a body.
    ResponseBytes,
    /// A response had too large a header.
    HeaderBytes,
    /// A user had too many contacts.
    Contacts,
    /// A contact had too many groups.
    Groups,
}

impl Limit {
    /// Every limit, in the order of the declaration.
    pub const ALL: [Self; 23] = [
        Self::ComponentBytes,
        Self::MemoryBytes,
        Self::TableElements,
        Self::Handles,
        Self::HostCallBytes,
        Self::Turn,
        Self::WasmStackBytes,
        Self::HandleTimeout,
        Self::WaitingCalls,
        Self::RetryCalls,
        Self::HandleCalls,
        Self::LogBytesPerSecond,
        Self::LogLineBytes,
        Self::Timeout,
        Self::RequestTimeout,
        Self::ConnectTimeout,
        Self::ConcurrentRequests,
        Self::RetryShare,
        Self::RequestBytes,
        Self::ResponseBytes,
        Self::HeaderBytes,
        Self::Contacts,
        Self::Groups,
    ];

    /// Its key in the configuration: the label `limit`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::ComponentBytes => "limits.plugin.component_bytes",
            Self::MemoryBytes => "limits.plugin.memory_bytes",
            Self::TableElements => "limits.plugin.table_elements",
            Self::Handles => "limits.plugin.handles",
            Self::HostCallBytes => "limits.plugin.host_call_bytes",
            Self::Turn => "limits.plugin.turn",
            Self::WasmStackBytes => "limits.plugin.wasm_stack_bytes",
            Self::HandleTimeout => "limits.plugin.handle_timeout",
            Self::WaitingCalls => "limits.plugin.waiting_calls",
            Self::RetryCalls => "limits.plugin.retry_calls",
            Self::HandleCalls => "limits.plugin.handle_calls",
            Self::LogBytesPerSecond => "limits.plugin.log_bytes_per_second",
            Self::LogLineBytes => "limits.plugin.log_line_bytes",
            Self::Timeout => "limits.backend.timeout",
            Self::RequestTimeout => "limits.backend.request_timeout",
            Self::ConnectTimeout => "limits.backend.connect_timeout",
            Self::ConcurrentRequests => "limits.backend.concurrent_requests",
            Self::RetryShare => "limits.backend.retry_share",
            Self::RequestBytes => "limits.backend.request_bytes",
            Self::ResponseBytes => "limits.backend.response_bytes",
            Self::HeaderBytes => "limits.backend.header_bytes",
            Self::Contacts => "limits.backend.contacts",
            Self::Groups => "limits.backend.groups",
        }
    }

    /// Whether it is reached in the course of things, and nobody has to hear
    /// of it.
    pub(crate) const fn is_ordinary(self) -> bool {
        matches!(
            self,
            Self::RetryCalls | Self::ConcurrentRequests | Self::RetryShare
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_listed_in_order() {
        for (index, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, index, "{limit:?}");
        }
    }
}
