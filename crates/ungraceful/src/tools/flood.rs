//! `ungraceful-flood`: what happens past what was agreed?

mod offline_queue;
mod quota_leak;
mod receive_maximum;
mod slow_consumer;
mod unacked_subscriber;
pub(super) mod variants;

use crate::launch::Tool;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "ungraceful-flood",
    question: "What happens past what was agreed?",
    modes: &[
        &receive_maximum::ReceiveMaximum,
        &quota_leak::Leak,
        &unacked_subscriber::Unacked,
        &offline_queue::Offline,
        &slow_consumer::Slow,
    ],
};
