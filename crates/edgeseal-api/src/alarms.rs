//! The channels for alarms. The component that owns them implements the trait; the actions only call
//! it.

use async_trait::async_trait;

/// Sends notifications of this process.
#[async_trait]
pub trait AlarmChannels: Send + Sync {
    /// Sends a test through every channel, whatever its least severity, and returns what each one
    /// answered.
    async fn test(&self) -> Vec<ChannelTest>;
}

/// The result of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelTest {
    /// The name of the channel.
    pub name: String,
    /// Its type.
    pub kind: &'static str,
    /// Why it did not accept the test; `None` if it did. Never a secret.
    pub failure: Option<String>,
}
