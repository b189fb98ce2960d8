"""An object store that speaks S3 over TLS, as much of it as pgBackRest uses: signatures (version 4) are checked, a
bucket must have been made, and single answers can be made slow or wrong. One process for the whole of a test."""
import hashlib
import hmac
import http.server
import ssl
import threading
import time
import urllib.parse
import uuid
from email.utils import formatdate
from xml.sax.saxutils import escape

from ports import free_port

KEY, SECRET, BUCKET, REGION = "AKIALABLABLABLAB", "lab/secret+access+key", "pg-backups", "us-east-1"


def sign(secret, date, region, text):
    key = f"AWS4{secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Store:
    """listen(), stop(). `objects`: path below the bucket -> content. `fault`: called with (method, path) before each
    answer; what it returns, if anything, is (status, code) to answer with."""

    def __init__(self, lab, number, certificate=None):
        self.address = lab.address(number)
        self.port = free_port(self.address)
        self.objects, self.uploads, self.keys = {}, {}, {KEY: SECRET}
        self.buckets, self.fault, self.requests = {BUCKET}, None, 0
        self.server = http.server.ThreadingHTTPServer((self.address, self.port), handler(self))
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)

    def start(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def options(self, ca=None):
        """pgBackRest's, for the section `backup`."""
        out = {"repo1-type": "s3", "repo1-path": "/repo", "repo1-s3-bucket": BUCKET, "repo1-s3-region": REGION,
               "repo1-s3-endpoint": self.address, "repo1-storage-port": self.port, "repo1-s3-uri-style": "path",
               "repo1-s3-key": KEY, "repo1-s3-key-secret": SECRET,
               "repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": "${BACKUP_PASSPHRASE}"}
        if ca:
            out["repo1-storage-ca-file"] = ca
        else:
            out["repo1-storage-verify-tls"] = False
        return out


def handler(store):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def serve(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            store.requests += 1
            try:
                self.check_signature()
                url = urllib.parse.urlsplit(self.path)
                _, bucket, *rest = urllib.parse.unquote(url.path).split("/", 2)
                path = "/" + (rest[0] if rest else "")
                fault = store.fault and store.fault(self.command, path)
                if fault:
                    raise Refused(*fault, "as the test wants it")
                if bucket not in store.buckets:
                    raise Refused(404, "NoSuchBucket", "The specified bucket does not exist")
                query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
                self.answer(path, query, body)
            except Refused as why:
                self.reply(why.status, f"<Error><Code>{why.code}</Code>"
                                       f"<Message>{escape(why.message)}</Message></Error>")
            except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
                self.close_connection = True

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = serve

        def check_signature(self):
            given = self.headers.get("Authorization", "")
            parts = dict(p.strip().split("=", 1) for p in given.partition(" ")[2].split(",") if "=" in p)
            credential = parts.get("Credential", "////").split("/")
            secret = store.keys.get(credential[0])
            if secret is None:
                raise Refused(403, "InvalidAccessKeyId",
                              "The AWS Access Key Id you provided does not exist in our records.")
            url = urllib.parse.urlsplit(self.path)
            names = parts["SignedHeaders"].split(";")
            headers = "".join(f"{n}:{' '.join(self.headers.get(n, '').split())}\n" for n in names)
            canonical = "\n".join([self.command, url.path, "&".join(sorted(url.query.split("&"))), headers,
                                   parts["SignedHeaders"], self.headers["x-amz-content-sha256"]])
            text = "\n".join(["AWS4-HMAC-SHA256", self.headers["x-amz-date"], "/".join(credential[1:]),
                              hashlib.sha256(canonical.encode()).hexdigest()])
            if not hmac.compare_digest(sign(secret, credential[1], credential[2], text), parts["Signature"]):
                raise Refused(403, "SignatureDoesNotMatch",
                              "The request signature we calculated does not match the signature you provided.")

        def answer(self, path, query, body):
            if self.command == "GET" and "list-type" in query:
                self.reply(200, listing(store, query))
            elif self.command == "POST" and "delete" in query:
                for part in body.decode().split("<Key>")[1:]:
                    store.objects.pop("/" + part.split("</Key>")[0], None)
                self.reply(200, "<DeleteResult></DeleteResult>")
            elif self.command == "POST" and "uploads" in query:
                upload = uuid.uuid4().hex
                store.uploads[upload] = {}
                self.reply(200, f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId>"
                                "</InitiateMultipartUploadResult>")
            elif self.command == "PUT" and "uploadId" in query:
                store.uploads[query["uploadId"]][int(query["partNumber"])] = body
                self.reply(200, "", ETag=f'"{hashlib.md5(body).hexdigest()}"')
            elif self.command == "POST" and "uploadId" in query:
                parts = store.uploads.pop(query["uploadId"])
                store.objects[path] = (b"".join(parts[n] for n in sorted(parts)), time.time())
                self.reply(200, "<CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>")
            elif self.command == "PUT":
                store.objects[path] = (body, time.time())
                self.reply(200, "", ETag=f'"{hashlib.md5(body).hexdigest()}"')
            elif self.command == "DELETE":
                store.objects.pop(path, None)
                self.reply(204, "")
            elif path not in store.objects:
                raise Refused(404, "NoSuchKey", "The specified key does not exist.")
            else:
                content, when = store.objects[path]
                changed = {"Last-Modified": formatdate(when, usegmt=True)}
                wanted = self.headers.get("Range")  # of a bundle one file is read
                if wanted is None:
                    self.reply(200, content, **changed)
                else:
                    first, last = wanted.removeprefix("bytes=").split("-")
                    part = content[int(first):int(last) + 1 if last else None]
                    end = int(first) + len(part) - 1
                    self.reply(206, part, **changed, **{"Content-Range": f"bytes {first}-{end}/{len(content)}"})

        def reply(self, status, content, **headers):
            content = content.encode() if isinstance(content, str) else content
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD" and status != 204:
                self.wfile.write(content)

    return Handler


def listing(store, query):
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    found, folders = [], set()
    for path, (content, when) in sorted(store.objects.items()):
        key = path[1:]
        if not key.startswith(prefix):
            continue
        rest = key[len(prefix):]
        if delimiter and delimiter in rest:
            folders.add(prefix + rest.split(delimiter, 1)[0] + delimiter)
        else:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(when))
            found.append(f"<Contents><Key>{escape(key)}</Key><LastModified>{stamp}</LastModified>"
                         f"<Size>{len(content)}</Size></Contents>")
    folders = "".join(f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in sorted(folders))
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(found)}{folders}</ListBucketResult>"
