//! Faults of credentials: those that run out, and those that an operator takes away.
