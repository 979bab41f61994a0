//! The TCP packets of a capture, and what is skipped on the way to them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use etherparse::{LaxNetSlice, TransportSlice};

use super::file::CapturedPacket;
use super::link::{self, Link};
use super::{CaptureError, warnings};

/// The headers of one TCP packet that matter here, and its payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct TcpPacket<'a> {
    /// Nanoseconds since the first packet of the capture.
    pub(super) at_ns: u64,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// The sequence number of the packet: that of SYN if it is set, otherwise that of the first byte.
    pub(super) sequence: u32,
    /// The acknowledgment number; absent without ACK.
    pub(super) acknowledged: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) payload: &'a [u8],
    /// How many bytes of payload follow that were not captured.
    pub(super) cut: u32,
}

/// Reads the headers of all packets, and adds a warning for each kind of packet that is skipped.
///
/// # Errors
/// If there are packets, and all are of unsupported link types.
pub(super) fn tcp_packets<'a>(
    packets: Vec<CapturedPacket<'a>>,
    warnings: &mut Vec<String>,
) -> Result<Vec<TcpPacket<'a>>, CaptureError> {
    let Some(first) = packets.first() else { return Ok(Vec::new()) };
    let (first_ns, total) = (first.at_ns, packets.len());
    let mut unsupported: BTreeMap<u16, usize> = BTreeMap::new();
    let (mut cut, mut fragments) = (0, 0);
    let mut tcp = Vec::new();
    for packet in packets {
        let Some(link) = Link::from_number(packet.link) else {
            *unsupported.entry(packet.link).or_default() += 1;
            continue;
        };
        cut += usize::from(packet.cut > 0);
        match headers_of(link, &packet, first_ns) {
            Found::Tcp(found) => tcp.push(found),
            Found::Fragment => fragments += 1,
            Found::Other => {}
        }
    }
    if let Some((&number, _)) = unsupported.first_key_value()
        && unsupported.values().sum::<usize>() == total
    {
        return Err(CaptureError::UnsupportedLinkType { number, name: link::name(number) });
    }
    for (number, count) in unsupported {
        let (packets, name) = (warnings::packets(count), link::name(number));
        warnings.push(format!("skipped {packets} of the unsupported link type {number} ({name})"));
    }
    if cut > 0 {
        let packets = warnings::packets(cut);
        warnings.push(format!("{packets} cut short by the snapshot length: capture again with -s 0"));
    }
    if fragments > 0 {
        let packets = warnings::packets(fragments);
        warnings.push(format!("skipped {packets} with fragments of larger IP packets"));
    }
    if tcp.is_empty() {
        let packets = warnings::packets(total);
        warnings.push(format!(
            "no TCP in {packets}: capture with the filter `tcp port 1883`, or your broker's port"
        ));
    }
    Ok(tcp)
}

enum Found<'a> {
    Tcp(TcpPacket<'a>),
    Fragment,
    Other,
}

fn headers_of<'a>(link: Link, packet: &CapturedPacket<'a>, first_ns: i128) -> Found<'a> {
    let Some(sliced) = link.slice(packet.bytes) else { return Found::Other };
    let Some(net) = sliced.net else { return Found::Other };
    if net.ip_payload_ref().is_some_and(|payload| payload.fragmented) {
        return Found::Fragment;
    }
    let (Some((from, to)), Some(TransportSlice::Tcp(tcp))) = (addresses(&net), sliced.transport) else {
        return Found::Other;
    };
    Found::Tcp(TcpPacket {
        at_ns: u64::try_from(packet.at_ns - first_ns).unwrap_or(u64::MAX),
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        sequence: tcp.sequence_number(),
        acknowledged: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload: tcp.payload(),
        cut: missing(&net, packet.cut),
    })
}

fn addresses(net: &LaxNetSlice<'_>) -> Option<(IpAddr, IpAddr)> {
    match net {
        LaxNetSlice::Ipv4(ip) => {
            Some((ip.header().source_addr().into(), ip.header().destination_addr().into()))
        }
        LaxNetSlice::Ipv6(ip) => {
            Some((ip.header().source_addr().into(), ip.header().destination_addr().into()))
        }
        LaxNetSlice::Arp(_) => None,
    }
}

/// How many bytes the IP packet was longer than what was captured of it.
///
/// `cut` may count bytes after the IP packet as well (padding of Ethernet). It is all there is where a network card was to fill
/// in the length, and the length is 0.
fn missing(net: &LaxNetSlice<'_>, cut: u32) -> u32 {
    let (announced, captured) = match net {
        LaxNetSlice::Ipv4(ip) => {
            let headers = ip.header().slice().len();
            (usize::from(ip.header().total_len()), headers + ip.payload().payload.len())
        }
        LaxNetSlice::Ipv6(ip) => {
            let headers = ip.extensions().slice().len();
            (usize::from(ip.header().payload_length()), headers + ip.payload().payload.len())
        }
        LaxNetSlice::Arp(_) => (0, 0),
    };
    if announced == 0 { cut } else { u32::try_from(announced.saturating_sub(captured)).unwrap_or(cut) }
}
