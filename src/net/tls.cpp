#include "net/tls.h"

#include <fmt/core.h>
#include <openssl/ssl.h>

#include <boost/asio/ssl/context.hpp>
#include <fstream>
#include <functional>
#include <sstream>

namespace relevo::net {
namespace ssl = boost::asio::ssl;
namespace {

using boost::system::error_code;

std::unexpected<Error> bad_file(std::string_view what, const std::string& file,
                                const error_code& why) {
    return fail(ErrorCode::invalid,
                fmt::format("cannot use {} '{}': {}; check the path, its rights and its content",
                            what, file, why.message()));
}

Status load_key_pair(ssl::context& context, const std::string& certfile, const std::string& keyfile,
                     const std::string& password) {
    error_code bad;
    // Without a password OpenSSL would ask on the terminal: an empty one makes it fail instead.
    (void)context.set_password_callback(
        [password](std::size_t, ssl::context::password_purpose) { return password; }, bad);
    (void)context.use_certificate_chain_file(certfile, bad);
    if (bad) return bad_file("certfile", certfile, bad);
    const std::string& key = keyfile.empty() ? certfile : keyfile;
    (void)context.use_private_key_file(key, ssl::context::pem, bad);
    if (bad) return bad_file("keyfile", key, bad);
    if (SSL_CTX_check_private_key(context.native_handle()) != 1) {
        return fail(ErrorCode::invalid,
                    fmt::format("the key in '{}' does not belong to the certificate in '{}'", key,
                                certfile));
    }
    return {};
}

TlsContext new_context(ssl::context::method method) {
    auto context = std::make_shared<ssl::context>(method);
    SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
    SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_RENEGOTIATION);
    // An idle connection gives its 34 kB of buffers back.
    SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);
    return context;
}

std::string content_mark(const std::string& file) {
    if (file.empty()) return {};
    std::ifstream in(file, std::ios::binary);
    if (!in) return "absent";
    std::ostringstream content;
    content << in.rdbuf();
    const auto text = std::move(content).str();
    return fmt::format("{}/{:x}", text.size(), std::hash<std::string>{}(text));
}

}  // namespace

Result<TlsContext> make_server_context(const ServerTls& tls) {
    try {
        auto context = new_context(ssl::context::tls_server);
        RLV_CHECK(load_key_pair(*context, tls.certfile, tls.keyfile, tls.keyfile_password));
        error_code bad;
        if (!tls.cafile.empty()) {
            (void)context->load_verify_file(tls.cafile, bad);
            if (bad) return bad_file("cafile", tls.cafile, bad);
            // The names we would accept are told to the client, so that it can choose a
            // certificate.
            SSL_CTX_set_client_CA_list(context->native_handle(),
                                       SSL_load_client_CA_file(tls.cafile.c_str()));
        }
        if (!tls.ciphers.empty() &&
            SSL_CTX_set_cipher_list(context->native_handle(), tls.ciphers.c_str()) != 1) {
            return fail(
                ErrorCode::invalid,
                fmt::format("no cipher is known in '{}': see `openssl ciphers`", tls.ciphers));
        }
        ssl::verify_mode mode = ssl::verify_none;
        switch (tls.verify_client) {
            case VerifyClient::none: break;
            case VerifyClient::optional: mode = ssl::verify_peer; break;
            case VerifyClient::required:
                mode = ssl::verify_peer | ssl::verify_fail_if_no_peer_cert;
                break;
        }
        if (mode != ssl::verify_none && tls.cafile.empty()) {
            return fail(ErrorCode::invalid,
                        "client certificates are verified against cafile: set it");
        }
        (void)context->set_verify_mode(mode, bad);
        // Without an id of our own OpenSSL refuses to resume sessions that have a client
        // certificate.
        static constexpr unsigned char id[] = "relevo";
        SSL_CTX_set_session_id_context(context->native_handle(), id, sizeof id - 1);
        return context;
    } catch (const std::exception& error) {
        return fail(ErrorCode::failed, fmt::format("cannot set up TLS: {}", error.what()));
    }
}

Result<TlsContext> make_client_context(const ClientTls& tls) {
    try {
        auto context = new_context(ssl::context::tls_client);
        const bool certified = !tls.certfile.empty();
        const bool verify = !tls.insecure || certified;
        error_code bad;
        if (certified) {
            RLV_CHECK(load_key_pair(*context, tls.certfile, tls.keyfile, tls.keyfile_password));
        }
        if (verify) {
            if (tls.cafile.empty()) {
                (void)context->set_default_verify_paths(bad);
            } else {
                (void)context->load_verify_file(tls.cafile, bad);
                if (bad) return bad_file("cafile", tls.cafile, bad);
            }
        }
        (void)context->set_verify_mode(verify ? ssl::verify_peer : ssl::verify_none, bad);
        return context;
    } catch (const std::exception& error) {
        return fail(ErrorCode::failed, fmt::format("cannot set up TLS: {}", error.what()));
    }
}

std::string fingerprint(const ServerTls& tls) {
    return content_mark(tls.certfile) + " " + content_mark(tls.keyfile) + " " +
           content_mark(tls.cafile);
}

}  // namespace relevo::net
