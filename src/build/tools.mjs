// The real programs that tests check us against, installed from Debian's packages where we are root.
import { spawnSync } from "node:child_process";

/** Debian package → a program that it brings. */
export const TOOLS = {
  tshark: "tshark",
  nfdump: "nfcapd",
  "nfdump-sflow": "sfcapd",
  pmacct: "nfacctd",
  "openvswitch-switch": "ovs-vswitchd",
  softflowd: "softflowd",
  iperf3: "iperf3",
  iproute2: "ip",
  "iputils-ping": "ping",
  ethtool: "ethtool",
  "clang-14": "clang-14",
  "libbpf-dev": "/usr/include/bpf/bpf_helpers.h",
  "libpcap-dev": "/usr/include/pcap/pcap.h",
  tmux: "tmux",
  tcpdump: "tcpdump",
  bpftool: "bpftool",
  influxdb: "influxd",
  prometheus: "promtool",
  chromium: "chromium",
};

const PATH = `${process.env.PATH}:/usr/sbin:/sbin:/usr/local/sbin`;

export function has(tool) {
  return (
    spawnSync("sh", ["-c", `command -v "$1" || test -e "$1"`, "sh", tool], { env: { ...process.env, PATH } }).status ===
    0
  );
}

/** Install what is missing, as root; otherwise say what the tests will miss. Never starts a service of a package. */
export function installTools() {
  const missing = Object.keys(TOOLS).filter((name) => !has(TOOLS[name]));
  if (!missing.length) return;
  const isDebian = has("apt-get");
  if (process.getuid?.() !== 0 || !isDebian) {
    console.error(`npm test: not here, so tests that need them are skipped by name: ${missing.join(" ")}`);
    return;
  }
  console.error(`npm test: installing ${missing.join(" ")} ...`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  const apt = (...args) =>
    spawnSync("apt-get", ["-qq", ...args], { env, stdio: ["ignore", "ignore", "inherit"] }).status === 0;
  const install = () => apt("install", "-y", "--no-install-recommends", ...missing);
  if (!install() && !(apt("update") && install())) console.error("npm test: apt-get could not install them");
}
