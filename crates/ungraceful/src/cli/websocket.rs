//! The flags of WebSocket.

use std::num::NonZeroUsize;

use clap::Args;
use ungraceful_flags::{Mistake, Whole};
use ungraceful_wire::{WebSocket, WebSocketMistake, WebSocketSettings};

/// Where most brokers serve MQTT over WebSocket.
const DEFAULT_PATH: &str = "/mqtt";
/// The sub-protocol that MQTT requires [MQTT-6.0.0-3].
const DEFAULT_PROTOCOL: &str = "mqtt";

/// The flags of WebSocket.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "WebSocket")]
pub struct WebSocketArgs {
    /// Connect over WebSocket, with --tls over TLS; a URL of ws:// or wss:// does the same
    #[arg(long)]
    pub ws: bool,
    /// Path of the WebSocket request, with its query if it has one [default: that of the URL, or /mqtt]
    #[arg(long, value_name = "PATH")]
    pub ws_path: Option<String>,
    /// Header of the WebSocket request, as `Name: value`; may be given several times
    #[arg(long, value_name = "HEADER")]
    pub ws_header: Vec<String>,
    /// Sub-protocol to ask for; none if empty [default: mqtt]
    #[arg(long, value_name = "NAME")]
    pub ws_protocol: Option<String>,
    /// Maximum bytes of MQTT in a WebSocket frame: larger packets are split over several frames [default: one frame for each
    /// write]
    #[arg(long, value_name = "BYTES")]
    pub ws_frame_size: Option<Whole<1, 1_000_000>>,
}

/// What a URL says of WebSocket.
#[derive(Clone, Debug)]
pub(crate) struct OfUrl {
    /// Absent when it is only `/`.
    pub(crate) path: Option<String>,
}

impl WebSocketArgs {
    /// WebSocket at `authority`, if the flags or the URL ask for it; absent without. Adds mistakes to the list.
    pub(crate) fn settings(
        &self,
        authority: Option<String>,
        by_url: Option<&OfUrl>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<WebSocket> {
        if !self.ws && by_url.is_none() {
            self.refuse_without_websocket(mistakes);
            return None;
        }
        let Some(authority) = authority else {
            let what = "the brokers that this program starts listen on plain TCP; give --host or --url, or leave it out";
            mistakes.push(Mistake::new("--ws", what));
            return None;
        };
        let path = match (by_url.and_then(|by_url| by_url.path.clone()), self.ws_path.clone()) {
            (Some(of_url), Some(path)) if of_url != path => {
                let what = "differs from the path in --url; keep one of them";
                mistakes.push(Mistake::new("--ws-path", what));
                return None;
            }
            (of_url, path) => path.or(of_url).unwrap_or_else(|| DEFAULT_PATH.to_owned()),
        };
        let headers: Option<Vec<_>> = self.ws_header.iter().map(|header| split(header, mistakes)).collect();
        let protocol = self.ws_protocol.as_deref().unwrap_or(DEFAULT_PROTOCOL);
        let made = WebSocket::new(&WebSocketSettings {
            authority,
            path,
            headers: headers?,
            protocol: Some(protocol.to_owned()).filter(|protocol| !protocol.is_empty()),
            frame_bytes: self.ws_frame_size.and_then(|bytes| NonZeroUsize::new(bytes.get())),
        });
        made.map_err(|mistake| {
            let flag = match mistake {
                WebSocketMistake::Path(_) => "--ws-path",
                WebSocketMistake::Header(_) => "--ws-header",
                WebSocketMistake::Protocol(_) => "--ws-protocol",
            };
            mistakes.push(Mistake::new(flag, mistake.to_string()));
        })
        .ok()
    }

    fn refuse_without_websocket(&self, mistakes: &mut Vec<Mistake>) {
        let given = [
            ("--ws-path", self.ws_path.is_some()),
            ("--ws-header", !self.ws_header.is_empty()),
            ("--ws-protocol", self.ws_protocol.is_some()),
            ("--ws-frame-size", self.ws_frame_size.is_some()),
        ];
        for (flag, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
            mistakes.push(Mistake::new(flag, "has an effect only with WebSocket; add --ws, or leave it out"));
        }
    }
}

/// The name and the value of a header, which may be a secret and is not repeated.
fn split(header: &str, mistakes: &mut Vec<Mistake>) -> Option<(String, String)> {
    let parts = header.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    if parts.is_none() {
        let what = "a header has no colon; give one such as 'Origin: https://example.com'";
        mistakes.push(Mistake::new("--ws-header", what));
    }
    parts
}
