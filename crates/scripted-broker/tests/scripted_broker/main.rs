//! Every behaviour of the scripted broker, conforming or not, shown byte by byte over a plain TCP connection.

mod deliveries;
mod exchanges;
mod greeting;
mod lifecycle;
mod names;
mod program;
mod raw_client;
mod second_connect;
mod sessions;
mod wills;
