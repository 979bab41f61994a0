//! What the standard forbids, written on purpose. Faults use it; nothing on the legal path can reach it.
