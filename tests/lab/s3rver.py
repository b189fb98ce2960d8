"""s3rver, an object store of somebody else's making: another reading of S3 than our own one's (s3.py), which
checks signatures as well: this one knows its account by name and takes any.

`make test` fetches it into build/s3rver where npm is there; RELEVO_S3RVER names another directory.
"""
import os
import shutil

from lab import ROOT, Process, wait_for
from ports import free_port
from s3 import BUCKET, REGION

PLACE = os.environ.get("RELEVO_S3RVER", os.path.join(ROOT, "build", "s3rver"))
PROGRAM = os.path.join("node_modules", "s3rver", "bin", "s3rver.js")
KEY = SECRET = "S3RVER"  # the only account that it knows


def why_missing():
    """A sentence, or nothing when it can be run."""
    if not shutil.which("node"):
        return "node is not installed"
    if not os.path.exists(os.path.join(PLACE, PROGRAM)):
        return f"s3rver is not in {PLACE} (`make test` fetches it where npm is there: tools/install-deps.sh test)"
    return None


class S3rver:
    """start(), stop(). `certificate`: (certificate file, key file)."""

    def __init__(self, lab, number, certificate):
        self.lab, self.certificate = lab, certificate
        self.address = lab.address(number)
        self.port = free_port(self.address)
        self.directory = os.path.join(lab.directory, "s3rver")
        self.objects = os.path.join(self.directory, "objects")
        # It runs as the members do, who may not be able to reach this checkout.
        shutil.copytree(PLACE, self.directory, symlinks=True)
        os.makedirs(self.objects)
        lab.give(self.objects)
        self.process = None

    def start(self):
        certificate, key = self.certificate
        self.process = Process(
            self.lab, "s3rver.log", ["node", os.path.join(self.directory, PROGRAM), "-d", self.objects,
                                     "-a", self.address, "-p", str(self.port), "--cert", certificate, "--key", key,
                                     "--no-vhost-buckets", "--configure-bucket", BUCKET],
            as_postgres=True, cwd=self.objects, env=self.lab.agent_environment())
        wait_for("s3rver to listen", 60, lambda: "listening on" in self.process.tail())
        return self

    def stop(self):
        self.process.stop()

    def has(self, folder):
        """Whether there is an object below this path of the bucket."""
        return any(files for _, _, files in os.walk(os.path.join(self.objects, BUCKET, folder)))

    def options(self, ca):
        """pgBackRest's, for the section `backup`."""
        return {"repo1-type": "s3", "repo1-path": "/repo", "repo1-s3-bucket": BUCKET, "repo1-s3-region": REGION,
                "repo1-s3-endpoint": self.address, "repo1-storage-port": self.port, "repo1-s3-uri-style": "path",
                "repo1-s3-key": KEY, "repo1-s3-key-secret": SECRET, "repo1-storage-ca-file": ca,
                "repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": "${BACKUP_PASSPHRASE}"}
