// HTTP messages as plain values, for the server's handlers and the client's callers. No Beast here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/url.h"

namespace relevo::net {

struct Header {
    std::string name, value;
    bool operator==(const Header&) const = default;
};
using Headers = std::vector<Header>;

// The first header of that name (case-insensitive), or null.
const std::string* find_header(const Headers& headers, std::string_view name);

// What a client asked of our server.
struct Request {
    std::string method;  // as sent: "GET"
    std::string target;  // as sent: "/replica?lag=1MB"
    std::string path;    // before the '?', not decoded: "/replica"
    std::vector<QueryItem> query;
    Headers headers;
    std::string body;
    bool has_body = false;  // Content-Length or chunked was given, even if it was zero
    std::string
        client_address;  // "10.0.0.1", "fe80::1%eth0"; an IPv4 client is never written as IPv6
    bool tls = false;
    bool client_cert_verified = false;

    const std::string* header(std::string_view name) const { return find_header(headers, name); }
};

// Content-Length, Date and Connection are the server's business.
struct Response {
    int status = 200;
    std::string content_type;  // empty: none is sent
    Headers headers;
    std::string body;  // left out for HEAD, though its length is told
};

const char* reason_phrase(int status);

}  // namespace relevo::net
