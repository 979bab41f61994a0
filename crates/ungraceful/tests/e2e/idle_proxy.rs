//! A TCP proxy that closes idle connections, as load balancers and firewalls do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ungraceful_wire::clock::now;

/// How often each direction checks whether the connection has been idle for too long.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The proxy; ends with the test's process.
pub(crate) struct IdleProxy {
    /// Where its clients connect to.
    pub(crate) address: SocketAddr,
}

impl IdleProxy {
    /// Starts one in front of `broker` that closes connections after `idle_max` without traffic.
    pub(crate) fn start(broker: SocketAddr, idle_max: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(broker) else { continue };
                let last = Arc::new(Mutex::new(now()));
                for (from, to) in [(&client, &server), (&server, &client)] {
                    from.set_read_timeout(Some(LOOK_EVERY)).unwrap();
                    from.set_nodelay(true).unwrap();
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let last = Arc::clone(&last);
                    std::thread::spawn(move || forward(from, to, &last, idle_max));
                }
            }
        });
        Self { address }
    }
}

/// Passes bytes on in one direction, until either end closes or nothing has passed for too long in both.
fn forward(mut from: TcpStream, mut to: TcpStream, last: &Mutex<Instant>, idle_max: Duration) {
    let mut bytes = [0; 16 * 1024];
    loop {
        match from.read(&mut bytes) {
            Ok(read @ 1..) => {
                *last.lock().unwrap() = now();
                if to.write_all(&bytes[..read]).is_err() {
                    break;
                }
            }
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                if last.lock().unwrap().elapsed() >= idle_max {
                    break;
                }
            }
            Ok(_) | Err(_) => break,
        }
    }
    // FIN to both.
    let _already_closed = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
