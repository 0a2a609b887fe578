//! Serves a directory on loopback: nginx, or else the server of `tuf-repo`.

use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};

pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// What nginx calls itself, if it is here.
pub(crate) fn nginx() -> Option<String> {
    let output = Command::new("nginx").arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.split_once("nginx/").map(|(_, version)| format!("nginx {}", version.trim()))
}

impl Server {
    /// `prefix` is a program that sets the priority, with its arguments; `other` serves where there is no nginx.
    pub(crate) fn start(prefix: &[String], directory: &Path, scratch: &Path, other: &Path) -> Self {
        // Free a moment ago; neither server says which port it was given.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut words: Vec<String> = prefix.to_vec();
        if nginx().is_some() {
            let file = scratch.join("nginx.conf");
            File::create(&file).unwrap().write_all(configuration(address, directory).as_bytes()).unwrap();
            let (scratch, file) = (scratch.display().to_string(), file.display().to_string());
            words.extend(["nginx", "-e", "stderr", "-p", &scratch, "-c", &file].map(str::to_owned));
        } else {
            words.extend([other.display().to_string(), directory.display().to_string(), address.to_string()]);
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { child: command.spawn().unwrap(), address };
        for _ in 0..500 {
            if TcpStream::connect(address).is_ok() {
                return server;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("no answer from {words:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx takes its workers with it only if it is asked to end.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

fn configuration(address: SocketAddr, directory: &Path) -> String {
    // As root its workers would be somebody who may not read here.
    let user = if geteuid().is_root() { "user root;" } else { "" };
    let directory = directory.display();
    format!(
        "daemon off; worker_processes 2; pid nginx.pid; {user}
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type application/octet-stream;
  client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
  server {{ listen {address}; root {directory}; }}
}}
"
    )
}
