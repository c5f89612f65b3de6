//! The pcapng file: an interface for each host, then the packets.

use std::time::Duration;

use anyhow::Result;
use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::section_header::SectionHeaderBlock;
use pcap_file::{Endianness, PcapError};

use super::{Capture, PEERS};

/// Times are in units of 10^-9 s: this version of pcap-file writes nanoseconds, whatever it says here.
const NANOSECONDS: u8 = 9;

/// The bytes of the file, the same on every machine. Virtual time begins at 1970-01-01 00:00 UTC.
///
/// # Errors
/// When the encoder finds something wrong with it.
pub(super) fn encode(capture: &Capture) -> Result<Vec<u8>, PcapError> {
    let section = SectionHeaderBlock { endianness: Endianness::Little, ..Default::default() };
    let mut file = PcapNgWriter::with_section_header(Vec::new(), section)?;
    let peers = (1..=PEERS).map(|number| format!("peer-{number}"));
    for name in ["tracker".to_owned(), "seed".to_owned()].into_iter().chain(peers) {
        file.write_pcapng_block(InterfaceDescriptionBlock {
            // A packet begins with its IP header.
            linktype: DataLink::RAW,
            snaplen: 0,
            options: vec![
                InterfaceDescriptionOption::IfName(name.into()),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ],
        })?;
    }
    for packet in &capture.packets {
        file.write_pcapng_block(EnhancedPacketBlock {
            interface_id: packet.interface,
            timestamp: Duration::from_nanos(packet.at.as_nanos()),
            original_len: u32::try_from(packet.bytes.len()).expect("at most 1500 bytes"),
            data: packet.bytes.as_slice().into(),
            options: Vec::new(),
        })?;
    }
    Ok(file.into_inner())
}
