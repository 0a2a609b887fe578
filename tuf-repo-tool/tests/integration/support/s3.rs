//! S3 servers on this machine: moto, which keeps everything in memory, and the object gateway of Ceph. Each has one
//! bucket that anybody may read, and ends with the value that started it.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tuf_repo_tool::storage::{self, Storage};

use super::python::{executable, install, made_once, succeeds, test_env};
use super::write;

/// Rises whenever the environment has to be made anew.
const COMPLETE: &str = "complete-1";

const PACKAGES: [&str; 2] = ["moto[server,s3]==5.2.5", "boto3"];

/// What the programs below begin with.
const CLIENT: &str = r#"
import json, sys, boto3
endpoint, key, secret, bucket = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret)
"#;

/// Makes the bucket and lets everybody read it, as one does for a mirror.
const MAKE_BUCKET: &str = r#"
s3.create_bucket(Bucket=bucket)
allow = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{bucket}/*"]}
s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
"#;

/// moto looks whether an object is there and then writes it, with a gap in between: here it does one request at a time, and so keeps
/// what AWS promises.
const MOTO: &str = r#"
import sys, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
application, one = DomainDispatcherApplication(create_backend_app), threading.Lock()
def serialised(environ, start_response):
    with one:
        return application(environ, start_response)
run_simple("127.0.0.1", int(sys.argv[1]), serialised, threaded=True)
"#;

const LIST: &str = r#"
pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
print(json.dumps([found["Key"] for page in pages for found in page.get("Contents", [])]))
"#;

/// Makes Ceph's keys, the map of its monitor, and the file system of that; `$1` is its directory, `$2` the cluster's identifier,
/// `$3` and `$4` the monitor's ports.
const MAKE_CEPH: &str = r"
set -e; K=$1/keyring
ceph-authtool -C $K --gen-key -n mon. --cap mon 'allow *'
ceph-authtool $K --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' --cap mds 'allow *'
ceph-authtool $K --gen-key -n mgr.x --cap mon 'allow profile mgr' --cap osd 'allow *' --cap mds 'allow *'
ceph-authtool $K --gen-key -n osd.0 --cap mon 'allow profile osd' --cap mgr 'allow profile osd' --cap osd 'allow *'
ceph-authtool $K --gen-key -n client.rgw --cap mon 'allow rw' --cap osd 'allow rwx' --cap mgr 'allow rw'
monmaptool --create --addv a [v2:127.0.0.1:$3/0,v1:127.0.0.1:$4/0] --fsid $2 $1/monmap
ceph-mon -c $1/ceph.conf --mkfs -i a --monmap $1/monmap --keyring $K
";

/// A running server. Dropped, it and all its processes end, and nothing of it stays.
#[derive(Debug)]
pub(crate) struct S3 {
    /// `http://127.0.0.1:PORT`.
    pub(crate) endpoint: String,
    /// What it is, with its version.
    pub(crate) name: String,
    key: &'static str,
    secret: &'static str,
    /// In the order in which they were started.
    processes: Vec<Child>,
    _directory: tempfile::TempDir,
}

impl Drop for S3 {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl S3 {
    /// moto, a simulation of AWS, one request at a time.
    pub(crate) fn moto() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut server = Command::new(executable(&environment(), "python"));
        server.args(["-c", MOTO, &port.to_string()]);
        let mut server = Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            name: PACKAGES[0].to_owned(),
            key: "test-key",
            secret: "test-secret",
            processes: vec![start(server, &directory.path().join("moto.log"))],
            _directory: directory,
        };
        server.wait("it answers", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        server.make_bucket();
        server
    }

    /// Ceph: monitor, manager, one disk, and the gateway.
    pub(crate) fn ceph() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let at = temporary.path();
        let (port, v1, v2) = (free_port(), free_port(), free_port());
        let identifier =
            || std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap().trim().to_owned();
        let (cluster, disk) = (identifier(), identifier());
        write(&at.join("ceph.conf"), ceph_conf(at, &cluster, port, v1, v2));
        for name in ["mon", "osd", "mgr", "run", "log", "crash", "rgw"] {
            std::fs::create_dir(at.join(name)).unwrap();
        }
        let (v1, v2) = (v1.to_string(), v2.to_string());
        succeeds(program("bash").args(["-c", MAKE_CEPH, "make"]).arg(at).args([&cluster, &v2, &v1]));
        let conf = at.join("ceph.conf");
        let command = |name: &str, arguments: &[&str]| {
            let mut command = program(name);
            command.arg("-c").arg(&conf).args(arguments);
            command
        };
        let daemon = |name: &str, arguments: &[&str]| {
            let mut command = command(name, arguments);
            command.arg("-f");
            start(command, &at.join("log").join(name))
        };
        let monitor = daemon("ceph-mon", &["-i", "a"]);
        let version = Command::new("radosgw").arg("--version").output().unwrap();
        let mut server = Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            name: String::from_utf8_lossy(&version.stdout).trim().to_owned(),
            key: "tufkey",
            secret: "tufsecret",
            processes: vec![monitor],
            _directory: tempfile::tempdir().unwrap(),
        };
        succeeds(&mut command("ceph", &["osd", "new", &disk, "0"]));
        server.processes.push(daemon("ceph-mgr", &["-i", "x"]));
        succeeds(&mut command("ceph-osd", &["-i", "0", "--mkfs", "--osd-uuid", &disk]));
        server.processes.push(daemon("ceph-osd", &["-i", "0"]));
        server.wait("its disk is up", || {
            let status = command("ceph", &["-s"]).output().unwrap();
            String::from_utf8_lossy(&status.stdout).contains("1 osds: 1 up")
        });
        server.processes.push(daemon("radosgw", &["-n", "client.rgw"]));
        server.wait("it answers", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        let user = [
            "--uid",
            "tuf",
            "--display-name",
            "tuf",
            "--access-key",
            server.key,
            "--secret-key",
            server.secret,
        ];
        succeeds(command("radosgw-admin", &["user", "create"]).args(user));
        server._directory = temporary;
        server.make_bucket();
        server
    }

    /// The variables with which programs use it.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        self.variables_at(&self.endpoint)
    }

    /// The same with what stands before it.
    pub(crate) fn variables_at(&self, endpoint: &str) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", self.key),
            ("AWS_SECRET_ACCESS_KEY", self.secret),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// What is below a prefix of the bucket.
    pub(crate) fn storage(&self, prefix: &str) -> Arc<dyn Storage> {
        open(prefix, self.variables())
    }

    /// Where everybody reads a file of the bucket.
    pub(crate) fn public(&self, path: &str) -> String {
        format!("{}/bucket1/{path}", self.endpoint)
    }

    /// All keys of the bucket, as another program lists them.
    pub(crate) fn keys(&self) -> Vec<String> {
        let output = self.boto(LIST).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn make_bucket(&self) {
        succeeds(&mut self.boto(MAKE_BUCKET));
    }

    /// A Python program with a client of this server.
    fn boto(&self, program: &str) -> Command {
        let mut python = Command::new(executable(&environment(), "python"));
        python.args(["-c", &format!("{CLIENT}{program}"), &self.endpoint, self.key, self.secret, "bucket1"]);
        python
    }

    /// Waits until it is ready, or has ended.
    fn wait(&mut self, what: &str, mut is_so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_so() {
            for process in &mut self.processes {
                let ended = process.try_wait().unwrap();
                assert!(ended.is_none(), "{}: {process:?} ended before {what}: {ended:?}", self.name);
            }
            assert!(start.elapsed() < Duration::from_secs(180), "{}: waited in vain until {what}", self.name);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The storage `s3://bucket1/PREFIX` with these settings.
pub(crate) fn open(prefix: &str, variables: Vec<(String, String)>) -> Arc<dyn Storage> {
    storage::open_with(Some(&format!("s3://bucket1/{prefix}")), Path::new("unused"), variables).unwrap()
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn environment() -> PathBuf {
    let directory = test_env().join("s3");
    let venv = directory.join("venv");
    made_once(&directory, COMPLETE, || {
        succeeds(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
        succeeds(install(&venv).args(PACKAGES));
    });
    venv
}

/// A program of Ceph, or why it is not there.
fn program(name: &str) -> Command {
    let path = tuf_client::env::var("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
    assert!(found, "{name} is missing: apt-get install ceph-mon ceph-osd ceph-mgr radosgw");
    let mut command = Command::new(name);
    command.env_remove("CEPH_ARGS");
    command
}

/// Starts a process that ends with the test's, however that ends.
fn start(command: Command, log: &Path) -> Child {
    let log = std::fs::File::create(log).unwrap();
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
    bound.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    bound.spawn().unwrap_or_else(|error| panic!("setpriv (package util-linux): {error}"))
}

fn ceph_conf(at: &Path, cluster: &str, port: u16, v1: u16, v2: u16) -> Vec<u8> {
    let at = at.display();
    let mut text = Vec::new();
    write!(
        text,
        "[global]
fsid = {cluster}
mon host = [v2:127.0.0.1:{v2}/0,v1:127.0.0.1:{v1}/0]
auth allow insecure global id reclaim = false
keyring = {at}/keyring
run dir = {at}/run
admin socket = {at}/run/$name.asok
pid file = {at}/run/$name.pid
log file = {at}/log/$name.log
crash dir = {at}/crash
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 1
mon max pg per osd = 1000
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
[mon.a]
mon cluster log file = default={at}/log/cluster.log
mon data = {at}/mon
public addr = 127.0.0.1
[mgr.x]
mgr data = {at}/mgr
public addr = 127.0.0.1
[osd]
osd data = {at}/osd
osd objectstore = bluestore
bluestore block size = 10737418240
bluestore block create = true
osd memory target = 939524096
public addr = 127.0.0.1
[client.rgw]
rgw data = {at}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw thread pool size = 64
"
    )
    .unwrap();
    text
}
