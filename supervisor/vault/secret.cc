#include "supervisor/vault/secret.h"

#include <sodium.h>

namespace flodea::vault {

Status init_crypto() {
  if (::sodium_init() < 0) return fail(Code::kInternal, "libsodium cannot be initialised");
  return {};
}

template <std::size_t N>
void Secret<N>::Free::operator()(std::byte* data) const {
  ::sodium_free(data);
}

template <std::size_t N>
Result<Secret<N>> Secret<N>::zeroed() {
  void* data = ::sodium_malloc(N);
  if (data == nullptr) return fail_errno("lock memory for a key");
  ::sodium_memzero(data, N);
  return Secret(static_cast<std::byte*>(data));
}

template <std::size_t N>
Result<Secret<N>> Secret<N>::random() {
  auto secret = TRY(zeroed());
  ::randombytes_buf(secret.raw(), N);
  return secret;
}

template class Secret<32>;
template class Secret<64>;

}  // namespace flodea::vault
