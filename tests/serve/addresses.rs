//! On which addresses softstop answers: an IPv6-only pod, a dual-stack one, and machines whose IPv6 is off, each a network namespace of
//! its own. The client is a thread of the test that goes into it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::client::{Told, inside};
use crate::support::faults::{self, Fault};
use crate::support::{Dir, Launch, PROMPT, Running, SOON, may_enter_namespaces, process};
use nix::sched::{CloneFlags, setns};

const POD: &str = "[fd00:244::7]:9180";
/// What the kubelet of an IPv6-only cluster sees of the network: no IPv4, on the loopback interface neither.
const IPV6_ALONE: &str = "ip link set lo up && ip -4 addr flush dev lo && ip addr add fd00:244::7/128 dev lo";
const BOTH: &str = "ip link set lo up && ip addr add fd00:244::7/128 dev lo && ip addr add 10.244.0.7/32 dev lo";
const IPV6_DISABLED: &str =
    "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 && ip link set lo up && ip addr add 10.244.0.7/32 dev lo";

/// softstop in a network namespace that `network` has set up.
fn within(network: &str, launch: Launch) -> Launch {
    let script = format!("{{ {network}; }} && exec \"$@\"");
    launch.through(&["unshare", "--net", "sh", "-c", &script, "sh"])
}

/// What a request to `address` in softstop's network is answered; `None`: it does not get through.
fn ask(running: &Running, address: &str, path: &str, agent: &str) -> Option<String> {
    let network = File::open(format!("/proc/{}/ns/net", running.pid())).unwrap();
    let (address, request): (SocketAddr, _) = (
        address.parse().unwrap(),
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"),
    );
    let asking = std::thread::spawn(move || {
        setns(&network, CloneFlags::CLONE_NEWNET).unwrap();
        let mut stream = TcpStream::connect_timeout(&address, SOON).ok()?;
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    });
    asking.join().unwrap()
}

#[track_caller]
fn ready_at(running: &mut Running, address: &str) {
    running.wait_until(&format!("ready at {address}"), |running| {
        let answer = ask(running, address, "/readyz", "kube-probe/1.36");
        answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200 "))
    });
}

/// `softstop probe` as an exec probe runs it.
#[track_caller]
fn probed(running: &Running, listen: &str) {
    let ready = ["probe", "ready", "--control", "@nobody-is-there", "--http", listen];
    Told::by(&mut inside(running, &["--net"], &ready)).expect(0, "");
}

#[test]
fn in_an_ipv6_only_pod_the_kubelet_reaches_a_port_without_an_address() {
    needs!(may_enter_namespaces());
    for listen in ["9180", ":9180", "[::]:9180"] {
        let mut running = within(IPV6_ALONE, Launch::child(&[], PROMPT).env("SOFTSTOP_HTTP", listen)).up();
        ready_at(&mut running, POD);
        probed(&running, listen);
        running.stop_within(SOON);
    }
}

#[test]
fn in_an_ipv6_only_pod_a_configurations_port_is_reached_and_its_prestop_too() {
    needs!(may_enter_namespaces());
    for listen in ["'9180'", "':9180'", "9180"] {
        let dir = Dir::new();
        let text = format!(
            "[http]\nlisten = {listen}\nprestop = {{ from = ['10.244.0.0/16', 'fd00:244::/64'] }}\n[[drain]]\nsleep = '10ms'\n{}",
            process("web", PROMPT)
        );
        let mut running = within(IPV6_ALONE, dir.launch(&text)).up();
        ready_at(&mut running, POD);
        let answer = ask(&running, POD, "/prestop", "kube-lifecycle/1.36").unwrap();
        assert!(answer.contains("drained in"), "{answer}");
        running.wait_for("stopping: GET /prestop by a kubelet at fd00:244::7");
        running.stop_within(SOON);
    }
}

/// An IPv4 address that comes by a socket for both families is one of IPv4 to every list, and in every message.
#[test]
fn a_dual_stack_pod_is_reached_by_both_families_and_ipv4_keeps_its_name() {
    needs!(may_enter_namespaces());
    // Whatever the system says of sockets for IPv6.
    for more in ["", " && echo 1 >/proc/sys/net/ipv6/bindv6only"] {
        let dir = Dir::new();
        let text = "[http]\nlisten = ':9180'\nprestop = { from = '10.244.0.7' }\n[[drain]]\nsleep = '10ms'\n";
        let launch = dir.launch(&(text.to_owned() + &process("web", PROMPT)));
        let mut running = within(&format!("{BOTH}{more}"), launch).up();
        for address in [POD, "[::1]:9180", "10.244.0.7:9180", "127.0.0.1:9180"] {
            ready_at(&mut running, address);
        }
        assert!(ask(&running, POD, "/prestop", "kube-lifecycle/1.36").unwrap().starts_with("HTTP/1.1 403"));
        running.wait_for("fd00:244::7 is in no network of `from`");
        assert!(ask(&running, "10.244.0.7:9180", "/prestop", "kube-lifecycle/1.36").unwrap().contains("drained in"));
        running.wait_for("stopping: GET /prestop by a kubelet at 10.244.0.7");
        running.stop_within(SOON);
    }
}

#[test]
fn where_ipv6_is_off_a_port_without_an_address_is_one_of_ipv4() {
    needs!(may_enter_namespaces());
    let launch = || Launch::child(&["--http", "9180"], PROMPT);
    // A kernel without it (ipv6.disable=1), and a seccomp profile that refuses it.
    let refused = |errno| faults::launch(&[Fault::Refused(errno, "socket=10")], within(BOTH, launch()));
    for launch in [within(IPV6_DISABLED, launch()), refused("EAFNOSUPPORT"), refused("EPERM")] {
        let mut running = launch.up();
        ready_at(&mut running, "10.244.0.7:9180");
        probed(&running, "9180");
        running.stop_within(SOON);
    }
}

/// Half of what was asked for would be a port where another process answers the probes.
#[test]
fn a_port_that_another_process_has_in_either_family_is_taken() {
    needs!(may_enter_namespaces());
    // IPPROTO_IPV6 and IPV6_V6ONLY: the other family is free.
    let ipv6 = "socket(S, AF_INET6, SOCK_STREAM, 0) && setsockopt(S, 41, 26, 1) && bind(S, Socket::pack_sockaddr_in6(9180, chr(0) x 16))";
    let ipv4 = "socket(S, AF_INET, SOCK_STREAM, 0) && bind(S, pack_sockaddr_in(9180, INADDR_ANY))";
    for bound in [ipv6, ipv4] {
        let holder =
            format!("perl -MSocket -e '{bound} && listen(S, 1) or die $!; system(@ARGV); exit($? >> 8)' \"$@\"");
        let through = format!("{BOTH} && exec {holder}");
        let launch = Launch::child(&["--http", ":9180"], PROMPT).not_pid1();
        let ended = launch.through(&["unshare", "--net", "sh", "-c", &through, "sh"]).run();
        ended
            .expect_code(70)
            .expect("cannot listen on :9180: another process has this port")
            .expect_not("started (pid");
    }
}
