"""A machine to test against: a real systemd with journal and sshd in namespaces of its own.

It needs root, Linux namespaces, overlay file systems, and the Debian packages systemd and openssh-server; where
one of them is missing, `missing()` says which. The machine shares the network with the tests, but nft runs in a
network namespace of the machine's own. /etc, /opt and /var are the real ones below and forgotten afterwards.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

SSHD = "/usr/sbin/sshd"
INIT = "/lib/systemd/systemd"

BOOT = r"""
set -e
echo $$ > "$CGROUP/cgroup.procs"
exec unshare --cgroup --mount --pid --fork --kill-child --uts --ipc sh -e -c '
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /root
for name in etc opt var; do
  mkdir -p /run/over/$name /run/work/$name
  mount -t overlay overlay -o lowerdir=/$name,upperdir=/run/over/$name,workdir=/run/work/$name /$name
done
umount -R /sys/fs/cgroup 2>/dev/null || umount -R -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -o bind,remount,ro /sys
mount --bind /proc/sys /proc/sys && mount -o bind,remount,ro /proc/sys
mkdir -p /run/sshd /run/lock /run/nft
unshare --net=/run/nft/net true 2>/dev/null || { touch /run/nft/net; unshare --net=/run/nft/net true; }
mkdir -p /opt/shim
printf "#!/bin/sh\nexec nsenter --net=/run/nft/net /usr/sbin/nft \"\$@\"\n" > /opt/shim/nft
chmod 755 /opt/shim/nft
rm -rf /etc/systemd/system/*
cp "$FOLDER"/units/* /etc/systemd/system/
for unit in systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
  systemd-udev-trigger.service systemd-journald-dev-log.socket systemd-journal-flush.service \
  systemd-sysctl.service systemd-modules-load.service \
  systemd-binfmt.service systemd-random-seed.service systemd-remount-fs.service systemd-logind.service \
  systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service systemd-sysusers.service \
  systemd-update-utmp.service systemd-machine-id-commit.service systemd-firstboot.service \
  kmod-static-nodes.service \
  dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
  sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount network-online.target systemd-pcrphase.service
do ln -sf /dev/null /etc/systemd/system/$unit; done
echo 0123456789abcdef0123456789abcdef > /etc/machine-id
rm -rf /var/log/journal
export container=rehost-test
exec /lib/systemd/systemd --system --unit=machine.target --show-status=no --log-target=null
'
"""

UNITS = {
    "machine.target": "[Unit]\nDescription=machine\nWants=systemd-journald.service ssh-test.service\n"
    "DefaultDependencies=no\n",
    "ssh-test.service": "[Unit]\nDefaultDependencies=no\nAfter=systemd-journald.socket\n[Service]\n"
    "KillMode=process\n"
    "Environment=PATH=/opt/shim:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin\n"
    "ExecStart=/usr/sbin/sshd -D -e -f {folder}/sshd_config\nRestart=always\nRestartSec=100ms\n",
}
CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
SetEnv PATH=/opt/shim:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
"""


@functools.cache
def missing() -> str:
    """Why there can be no machine here, empty when there can."""
    if os.geteuid() != 0:
        return "needs root, to start a systemd in namespaces of its own"
    for path, package in ((SSHD, "openssh-server"), (INIT, "systemd"), ("/usr/bin/unshare", "util-linux")):
        if not Path(path).exists():
            return f"needs {path} (apt-get install {package})"
    over = "mount -t overlay over -o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w /etc"
    trial = f"mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w && {over}"
    tried = subprocess.run(
        ["unshare", "--cgroup", "--mount", "--pid", "--fork", "--uts", "--ipc", "sh", "-c", trial],
        capture_output=True,
        check=False,
    )
    return "" if tried.returncode == 0 else f"may not be made here: {tried.stderr.decode().strip()}"


@dataclass
class Machine:
    """The running machine: where its sshd listens, and the keys of both sides."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    cgroup: Path

    @property
    def host_key(self) -> str:
        """The public key it answers with."""
        return (self.folder / "host.pub").read_text()

    @property
    def private_key(self) -> str:
        """The key that it lets in."""
        return (self.folder / "key").read_text()

    def stop(self) -> None:
        """End it with all its processes."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        end = time.monotonic() + 10
        while "populated 1" in (self.cgroup / "cgroup.events").read_text() and time.monotonic() < end:
            threading.Event().wait(0.02)
        for path in sorted(self.cgroup.rglob("*"), reverse=True):
            if path.is_dir():
                with contextlib.suppress(OSError):
                    path.rmdir()
        with contextlib.suppress(OSError):
            self.cgroup.rmdir()
        shutil.rmtree(self.folder, ignore_errors=True)


def boot() -> Machine:
    """Start a machine and wait for its sshd. Raises RuntimeError with what it said when it does not come."""
    folder = Path(tempfile.mkdtemp(prefix="rehost-machine-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "sshd_config").write_text(CONFIG.format(folder=folder, port=port))
    (folder / "units").mkdir()
    for name, text in UNITS.items():
        (folder / "units" / name).write_text(text.format(folder=folder))
    root = Path("/sys/fs/cgroup/unified") if Path("/sys/fs/cgroup/unified").is_dir() else Path("/sys/fs/cgroup")
    cgroup = root / folder.name
    cgroup.mkdir()
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "sh", "-c", BOOT],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CGROUP": str(cgroup), "FOLDER": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=(folder / "said").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    machine = Machine(folder, port, process, cgroup)
    end = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return machine
        if process.poll() is not None or time.monotonic() > end:
            said = (folder / "said").read_text()
            machine.stop()
            raise RuntimeError(f"the machine did not start: {said[-1000:]}")
        threading.Event().wait(0.05)
