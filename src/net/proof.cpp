#include "net/proof.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "base/assert.h"

namespace relevo::net {
namespace {

constexpr int rounds = 4096;  // as SCRAM-SHA-256 in PostgreSQL
using Digest = std::array<unsigned char, 32>;

const unsigned char* bytes(std::string_view text) {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): OpenSSL's word for a byte
    return reinterpret_cast<const unsigned char*>(text.data());
}

std::string hexadecimal(const Digest& digest) {
    std::string text;
    for (const auto byte : digest) text += fmt::format("{:02x}", byte);
    return text;
}

}  // namespace

std::string proof_key(std::string_view secret, std::string_view purpose, std::string_view of) {
    const auto salt = fmt::format("pgrelevo {} {}", purpose, of);
    Digest digest{};
    const int made = PKCS5_PBKDF2_HMAC(secret.data(), static_cast<int>(secret.size()), bytes(salt),
                                       static_cast<int>(salt.size()), rounds, EVP_sha256(),
                                       static_cast<int>(digest.size()), digest.data());
    RLV_ASSERT(made == 1);
    return hexadecimal(digest);
}

std::string proof_of(std::string_view key, std::string_view message) {
    Digest digest{};
    unsigned size = 0;
    const auto* made = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes(message),
                            message.size(), digest.data(), &size);
    RLV_ASSERT(made != nullptr && size == digest.size());
    return hexadecimal(digest);
}

}  // namespace relevo::net
