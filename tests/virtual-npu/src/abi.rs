//! The structures of `drm/amdxdna_accel.h` (Linux 7.3) and of XRT's command packets (`xrt/detail/ert.h`, XRT 2.25).

/// An address that there is not.
pub(crate) const INVALID_ADDRESS: u64 = u64::MAX;

pub(crate) const GEM_CLOSE: u32 = 0x09;
pub(crate) const COMMAND_BASE: u32 = 0x40;
pub(crate) const CREATE_CONTEXT: u32 = COMMAND_BASE;
pub(crate) const DESTROY_CONTEXT: u32 = COMMAND_BASE + 1;
pub(crate) const CONFIGURE_CONTEXT: u32 = COMMAND_BASE + 2;
pub(crate) const CREATE_BUFFER: u32 = COMMAND_BASE + 3;
pub(crate) const BUFFER_INFO: u32 = COMMAND_BASE + 4;
pub(crate) const SYNC_BUFFER: u32 = COMMAND_BASE + 5;
pub(crate) const EXECUTE: u32 = COMMAND_BASE + 6;
pub(crate) const GET_INFO: u32 = COMMAND_BASE + 7;
pub(crate) const SET_STATE: u32 = COMMAND_BASE + 8;
pub(crate) const WAIT: u32 = COMMAND_BASE + 9;
pub(crate) const GET_ARRAY: u32 = COMMAND_BASE + 10;

/// Kinds of buffers.
pub(crate) const DEVICE_HEAP: u32 = 2;
pub(crate) const DEVICE: u32 = 3;

#[repr(C)]
pub(crate) struct CreateContext {
    pub(crate) ext: [u64; 2],
    pub(crate) qos: u64,
    pub(crate) unused: [u32; 2],
    pub(crate) max_opc: u32,
    pub(crate) tiles: u32,
    pub(crate) memory: u32,
    pub(crate) doorbell: u32,
    pub(crate) handle: u32,
    pub(crate) syncobj: u32,
}

#[repr(C)]
pub(crate) struct Handle {
    pub(crate) handle: u32,
    pub(crate) padding: u32,
}

#[repr(C)]
pub(crate) struct CreateBuffer {
    pub(crate) flags: u64,
    pub(crate) table: u64,
    pub(crate) bytes: u64,
    pub(crate) kind: u32,
    pub(crate) handle: u32,
}

/// The caller's memory, of which a buffer is made.
#[repr(C)]
pub(crate) struct AddressTable {
    pub(crate) dmabuf: i32,
    pub(crate) entries: u32,
    pub(crate) address: u64,
    pub(crate) bytes: u64,
}

#[repr(C)]
pub(crate) struct BufferInfo {
    pub(crate) ext: [u64; 2],
    pub(crate) handle: u32,
    pub(crate) padding: u32,
    pub(crate) map_offset: u64,
    pub(crate) address: u64,
    pub(crate) device_address: u64,
}

#[repr(C)]
pub(crate) struct SyncBuffer {
    pub(crate) handle: u32,
    pub(crate) direction: u32,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

#[repr(C)]
pub(crate) struct Execute {
    pub(crate) ext: [u64; 2],
    pub(crate) context: u32,
    pub(crate) kind: u32,
    pub(crate) commands: u64,
    pub(crate) arguments: u64,
    pub(crate) command_count: u32,
    pub(crate) argument_count: u32,
    pub(crate) sequence: u64,
}

#[repr(C)]
pub(crate) struct Wait {
    pub(crate) context: u32,
    pub(crate) timeout_ms: u32,
    pub(crate) sequence: u64,
}

#[repr(C)]
pub(crate) struct GetInfo {
    pub(crate) parameter: u32,
    pub(crate) bytes: u32,
    pub(crate) buffer: u64,
}

#[repr(C)]
pub(crate) struct GetArray {
    pub(crate) parameter: u32,
    pub(crate) element_bytes: u32,
    pub(crate) elements: u32,
    pub(crate) padding: u32,
    pub(crate) buffer: u64,
}

#[repr(C)]
pub(crate) struct TileMetadata {
    pub(crate) counts: [u16; 5],
    pub(crate) padding: [u16; 3],
}

#[repr(C)]
pub(crate) struct AieMetadata {
    pub(crate) column_bytes: u32,
    pub(crate) columns: u16,
    pub(crate) rows: u16,
    pub(crate) version: [u32; 2],
    pub(crate) core: TileMetadata,
    pub(crate) memory: TileMetadata,
    pub(crate) shim: TileMetadata,
}

#[repr(C)]
pub(crate) struct Clock {
    pub(crate) name: [u8; 16],
    pub(crate) megahertz: u32,
    pub(crate) padding: u32,
}

#[repr(C)]
pub(crate) struct Sensor {
    pub(crate) label: [u8; 64],
    pub(crate) values: [u32; 4],
    pub(crate) status: [u8; 64],
    pub(crate) units: [u8; 16],
    pub(crate) unit_exponent: i8,
    pub(crate) kind: u8,
    pub(crate) padding: [u8; 6],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ContextEntry {
    pub(crate) id: u32,
    pub(crate) start_column: u32,
    pub(crate) columns: u32,
    pub(crate) hardware_id: u32,
    pub(crate) pid: i64,
    pub(crate) submissions: u64,
    pub(crate) completions: u64,
    pub(crate) migrations: u64,
    pub(crate) preemptions: u64,
    pub(crate) errors: u64,
    pub(crate) priority: u64,
    pub(crate) heap_usage: u64,
    pub(crate) suspensions: u64,
    pub(crate) rest: [u32; 14],
}

#[repr(C)]
pub(crate) struct BufferUsage {
    pub(crate) pid: i64,
    pub(crate) total: u64,
    pub(crate) internal: u64,
    pub(crate) heap: u64,
}

/// Operation of a packet that is a list of others.
pub(crate) const OPERATION_CHAIN: u32 = 19;
/// Operation of a packet that starts the kernel.
pub(crate) const OPERATION_START: u32 = 0;
pub(crate) const STATE_COMPLETED: u32 = 4;
pub(crate) const STATE_ERROR: u32 = 5;
pub(crate) const STATE_ABORT: u32 = 6;

/// First word of a packet.
#[derive(Clone, Copy)]
pub(crate) struct Header(pub(crate) u32);

impl Header {
    pub(crate) fn operation(self) -> u32 {
        self.0 >> 23 & 0x1f
    }

    /// Words that follow the first.
    pub(crate) fn count(self) -> usize {
        (self.0 >> 12 & 0x7ff) as usize
    }

    pub(crate) fn extra_masks(self) -> usize {
        (self.0 >> 10 & 3) as usize
    }

    pub(crate) fn with_state(self, state: u32) -> u32 {
        self.0 & !0xf | state
    }
}

const _: () = assert!(size_of::<CreateContext>() == 56 && size_of::<BufferInfo>() == 48 && size_of::<Execute>() == 56);
const _: () = assert!(size_of::<AieMetadata>() == 64 && size_of::<Sensor>() == 168 && size_of::<ContextEntry>() == 144);
