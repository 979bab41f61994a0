//! The packets of a capture file, with the time, link type and length of each. What is in them is read by `headers`.
//!
//! pcap-parser cuts the file into records and blocks. Times are computed here, because it refuses resolutions that are powers
//! of two and reads the offset of a big-endian section in the wrong byte order.

use pcap_parser::nom::{Err as Stop, IResult};
use pcap_parser::pcapng::{Block, InterfaceDescriptionBlock};
use pcap_parser::{OptionCode, PcapError};

use super::CaptureError;

/// The type of a Section Header Block, the same in both byte orders.
const SECTION: [u8; 4] = [0x0A, 0x0D, 0x0D, 0x0A];

/// The type of the Packet Block, which Enhanced Packet Blocks replaced before 2010.
const OBSOLETE_PACKET_BLOCK: u32 = 2;

/// Compressed formats by their first bytes: name, and a command that decompresses.
const COMPRESSED: [(&[u8], &str, &str); 6] = [
    (&[0x1F, 0x8B], "gzip", "gunzip FILE"),
    (&[0x28, 0xB5, 0x2F, 0xFD], "zstd", "unzstd FILE"),
    (&[0xFD, b'7', b'z', b'X', b'Z', 0], "xz", "unxz FILE"),
    (&[0x04, 0x22, 0x4D, 0x18], "lz4", "unlz4 FILE"),
    (b"BZh", "bzip2", "bunzip2 FILE"),
    (b"PK\x03\x04", "zip", "unzip FILE"),
];

/// A capture file.
#[derive(Debug, Default)]
pub(super) struct CaptureFile<'a> {
    /// In the order of their times.
    pub(super) packets: Vec<CapturedPacket<'a>>,
    pub(super) warnings: Vec<String>,
}

/// A packet as it was captured, from its link header on.
#[derive(Clone, Copy, Debug)]
pub(super) struct CapturedPacket<'a> {
    /// Nanoseconds since an epoch, which need not be that of Unix.
    pub(super) at_ns: i128,
    /// The number of its link type.
    pub(super) link: u16,
    pub(super) bytes: &'a [u8],
    /// How many bytes of its end were not captured.
    pub(super) cut: u32,
}

/// Reads either format, and sorts the packets by time: a file of several interfaces is only roughly in order.
pub(super) fn read(bytes: &[u8]) -> Result<CaptureFile<'_>, CaptureError> {
    if bytes.is_empty() {
        return Err(CaptureError::Empty);
    }
    if let Some((_, with, command)) = COMPRESSED.iter().find(|(mark, ..)| bytes.starts_with(mark)) {
        return Err(CaptureError::Compressed { with, command });
    }
    let mut file = if bytes.starts_with(&SECTION) { pcapng(bytes)? } else { pcap(bytes)? };
    file.packets.sort_by_key(|packet| packet.at_ns);
    if file.packets.is_empty() && file.warnings.is_empty() {
        file.warnings.push("the capture has no packets".into());
    }
    Ok(file)
}

impl CaptureFile<'_> {
    /// Accepts the end of a file in the middle of something, unless nothing comes before it.
    fn stops_early(&mut self, length: usize, at: usize) -> Result<(), CaptureError> {
        if self.packets.is_empty() {
            return Err(CaptureError::Truncated { at: length });
        }
        self.warnings.push(format!(
            "the file ends in the middle of the packet that begins at byte {at}, after {}: if the copy is incomplete, copy it \
             again",
            super::warnings::packets(self.packets.len())
        ));
        Ok(())
    }
}

fn pcap(bytes: &[u8]) -> Result<CaptureFile<'_>, CaptureError> {
    let (mut rest, header) = match pcap_parser::parse_pcap_header(bytes) {
        Ok(read) => read,
        Err(Stop::Incomplete(_)) if bytes.len() >= 4 => {
            return Err(CaptureError::Truncated { at: bytes.len() });
        }
        Err(_) => return Err(not_a_capture(bytes)),
    };
    let parse = match (header.is_modified_format(), header.is_bigendian()) {
        (true, _) => pcap_parser::parse_pcap_frame_modified,
        (false, true) => pcap_parser::parse_pcap_frame_be,
        (false, false) => pcap_parser::parse_pcap_frame,
    };
    let fraction_ns = if header.is_nanosecond_precision() { 1 } else { 1000 };
    // The upper half of the field holds the length of Ethernet's checksum, which IP's own length excludes anyway.
    let [.., high, low] = header.network.0.to_be_bytes();
    let link = u16::from_be_bytes([high, low]);
    let mut file = CaptureFile::default();
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        match parse(rest) {
            Ok((after, record)) => {
                rest = after;
                file.packets.push(CapturedPacket {
                    at_ns: i128::from(record.ts_sec) * 1_000_000_000
                        + i128::from(record.ts_usec) * fraction_ns,
                    link,
                    bytes: record.data,
                    cut: record.origlen.saturating_sub(record.caplen),
                });
            }
            Err(Stop::Incomplete(_)) => {
                file.stops_early(bytes.len(), at)?;
                break;
            }
            Err(_) => return Err(CaptureError::Damaged { at, what: "packet" }),
        }
    }
    Ok(file)
}

fn not_a_capture(bytes: &[u8]) -> CaptureError {
    let begins: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    CaptureError::NotACapture { begins: begins.join(" ") }
}

fn pcapng(bytes: &[u8]) -> Result<CaptureFile<'_>, CaptureError> {
    let mut file = CaptureFile::default();
    let mut section = Section::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        match section.block(rest) {
            Ok((after, block)) => {
                rest = after;
                section.take(block, &mut file.packets);
            }
            Err(Stop::Incomplete(_)) => {
                file.stops_early(bytes.len(), at)?;
                break;
            }
            Err(_) => return Err(CaptureError::Damaged { at, what: "block" }),
        }
    }
    section.skipped.report(&mut file.warnings);
    Ok(file)
}

/// What blocks of a section refer to.
#[derive(Debug, Default)]
struct Section {
    is_big_endian: bool,
    interfaces: Vec<Interface>,
    /// Of the packet before, for those that have no time.
    last_ns: i128,
    skipped: Skipped,
}

#[derive(Debug)]
struct Interface {
    link: u16,
    /// The most bytes that are kept of a packet; 0 for no limit.
    snapshot_length: u32,
    resolution: u8,
    offset_s: i64,
}

/// Packets that can't be used or have something missing, counted for the warnings.
#[derive(Debug, Default)]
struct Skipped {
    without_time: usize,
    without_interface: usize,
    obsolete: usize,
}

impl Section {
    /// The block at the head of `bytes`. The header of a section shows the byte order of all blocks up to the next one.
    fn block<'a>(&self, bytes: &'a [u8]) -> IResult<&'a [u8], Block<'a>, PcapError<&'a [u8]>> {
        if self.is_big_endian {
            pcap_parser::pcapng::parse_block_be(bytes)
        } else {
            pcap_parser::pcapng::parse_block_le(bytes)
        }
    }

    fn take<'a>(&mut self, block: Block<'a>, packets: &mut Vec<CapturedPacket<'a>>) {
        match block {
            Block::SectionHeader(header) => {
                self.is_big_endian = header.big_endian();
                self.interfaces.clear();
            }
            Block::InterfaceDescription(description) => self.interfaces.push(self.interface(&description)),
            Block::EnhancedPacket(block) => {
                let interface = usize::try_from(block.if_id).ok().and_then(|id| self.interfaces.get(id));
                let Some(interface) = interface else {
                    self.skipped.without_interface += 1;
                    return;
                };
                let ticks = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
                self.last_ns = interface.at_ns(ticks);
                packets.push(CapturedPacket {
                    at_ns: self.last_ns,
                    link: interface.link,
                    bytes: up_to(block.data, block.caplen),
                    cut: block.origlen.saturating_sub(block.caplen),
                });
            }
            Block::SimplePacket(block) => {
                let Some(interface) = self.interfaces.first() else {
                    self.skipped.without_interface += 1;
                    return;
                };
                self.skipped.without_time += 1;
                let captured = match interface.snapshot_length {
                    0 => block.origlen,
                    limit => block.origlen.min(limit),
                };
                packets.push(CapturedPacket {
                    at_ns: self.last_ns,
                    link: interface.link,
                    bytes: up_to(block.data, captured),
                    cut: block.origlen.saturating_sub(captured),
                });
            }
            Block::Unknown(block) if self.is_obsolete_packet(block.block_type) => self.skipped.obsolete += 1,
            _ => {}
        }
    }

    fn interface(&self, description: &InterfaceDescriptionBlock<'_>) -> Interface {
        let option = |code| {
            let found = description.options.iter().find(|option| option.code == code);
            found.map(|option| option.value.as_ref())
        };
        let offset = option(OptionCode::IfTsoffset).and_then(|value| value.first_chunk().copied());
        let from_bytes = if self.is_big_endian { i64::from_be_bytes } else { i64::from_le_bytes };
        Interface {
            link: u16::try_from(description.linktype.0).unwrap_or(u16::MAX),
            snapshot_length: description.snaplen,
            resolution: option(OptionCode::IfTsresol).and_then(|value| value.first().copied()).unwrap_or(6),
            offset_s: offset.map_or(0, from_bytes),
        }
    }

    /// pcap-parser leaves the type of an unknown block as it is in the file, read as little-endian.
    fn is_obsolete_packet(&self, block_type: u32) -> bool {
        let block_type = if self.is_big_endian { block_type.swap_bytes() } else { block_type };
        block_type == OBSOLETE_PACKET_BLOCK
    }
}

impl Interface {
    /// A time in units of the interface: a negative power of ten or, with the highest bit set, of two.
    fn at_ns(&self, ticks: u64) -> i128 {
        let ticks = i128::from(ticks);
        let exponent = u32::from(self.resolution & 0x7F);
        let since_offset = if self.resolution & 0x80 != 0 {
            (ticks * 1_000_000_000).checked_shr(exponent).unwrap_or(0)
        } else if exponent <= 9 {
            ticks * 10_i128.pow(9 - exponent)
        } else {
            10_i128.checked_pow(exponent - 9).map_or(0, |divisor| ticks / divisor)
        };
        i128::from(self.offset_s) * 1_000_000_000 + since_offset
    }
}

impl Skipped {
    fn report(&self, warnings: &mut Vec<String>) {
        if self.without_time > 0 {
            warnings.push(format!(
                "{} without a time in the file (Simple Packet Blocks): the time of the packet before is assumed",
                super::warnings::packets(self.without_time)
            ));
        }
        if self.without_interface > 0 {
            warnings.push(format!(
                "skipped {} of an interface that the file does not describe",
                super::warnings::packets(self.without_interface)
            ));
        }
        if self.obsolete > 0 {
            warnings.push(format!(
                "skipped {} in the obsolete Packet Blocks: convert the file with `editcap -F pcapng IN OUT`",
                super::warnings::packets(self.obsolete)
            ));
        }
    }
}

fn up_to(bytes: &[u8], length: u32) -> &[u8] {
    usize::try_from(length).ok().and_then(|length| bytes.get(..length)).unwrap_or(bytes)
}
