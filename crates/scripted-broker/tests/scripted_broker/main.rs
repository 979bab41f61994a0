//! Every behaviour of the scripted broker, conforming or not, shown byte by byte over a plain TCP connection.

mod connect_wait;
mod credentials;
mod deliveries;
mod exchanges;
mod flow;
mod forbidden_connects;
mod forbidden_packets;
mod greeting;
mod keep_alive;
mod lifecycle;
mod limits;
mod load;
mod malformed;
mod names;
mod obeyed;
mod offline_queue;
mod program;
mod raw_client;
mod readmission;
mod refused;
mod resumption;
mod second_connect;
mod sessions;
mod subscriber_flow;
mod take_over;
mod wills;
