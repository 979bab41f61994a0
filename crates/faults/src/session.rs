//! Faults of what outlives a connection: session, Will, retained messages.
