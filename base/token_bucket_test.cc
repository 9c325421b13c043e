#include "base/token_bucket.h"

#include <catch2/catch_test_macros.hpp>

namespace flodea {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kNow = 100s;

}  // namespace

TEST_CASE("a bucket starts full, gives its burst at once and then its rate") {
  TokenBucket bucket(2, 3);
  CHECK(bucket.full(kNow));
  for (int i = 0; i < 3; ++i) CHECK(bucket.take(kNow));
  CHECK_FALSE(bucket.take(kNow));
  CHECK_FALSE(bucket.take(kNow + 499ms));
  CHECK(bucket.take(kNow + 501ms));
  CHECK_FALSE(bucket.take(kNow + 501ms));
}

TEST_CASE("a bucket never holds more than its burst, however long nobody takes") {
  TokenBucket bucket(2, 3);
  CHECK(bucket.take(kNow));
  CHECK(bucket.available(kNow + 1h) == 3);
  CHECK(bucket.full(kNow + 1h));
}

TEST_CASE("the time before a bucket's first use gives it nothing back") {
  TokenBucket bucket(1, 10);
  bucket.charge(10);
  CHECK(bucket.available(kNow) == 0);
}

TEST_CASE("after the time that a bucket names a token is there") {
  TokenBucket bucket(3, 1);
  CHECK(bucket.wait_for(1, kNow) == Nanos::zero());
  REQUIRE(bucket.take(kNow));
  Nanos wait = bucket.wait_for(1, kNow);
  CHECK(wait > 333ms);
  CHECK(wait < 334ms);
  CHECK(bucket.take(kNow + wait));
}

TEST_CASE("more than the burst is waited for as long as for a full bucket") {
  TokenBucket bucket(10, 5);
  bucket.charge(5);
  CHECK(bucket.wait_for(1000, kNow) == 500ms);
}

TEST_CASE("debt is waited off, down to the depth that the charge allows") {
  TokenBucket deep(1, 2);
  deep.charge(12);
  CHECK(deep.available(kNow) == -10);
  CHECK_FALSE(deep.take(kNow + 10s));
  CHECK(deep.take(kNow + 11s));

  TokenBucket shallow(1, 2);
  shallow.charge(12, 2);
  CHECK(shallow.available(kNow) == -2);
  CHECK(shallow.take(kNow + 3s));
}

TEST_CASE("a charge with less debt allowed forgives none") {
  TokenBucket bucket(1, 2);
  bucket.charge(12);
  bucket.charge(1, 2);
  CHECK(bucket.available(kNow) == -10);
}

TEST_CASE("a rate of zero is no limit") {
  TokenBucket bucket(0, 5);
  bucket.charge(1000);
  CHECK(bucket.unlimited());
  CHECK(bucket.take(kNow));
  CHECK(bucket.wait_for(1e12, kNow) == Nanos::zero());
}

TEST_CASE("a changed rate keeps what is left, cut to the new burst") {
  TokenBucket bucket(1, 10);
  REQUIRE(bucket.take(kNow));
  bucket.change(1, 20, kNow);
  CHECK(bucket.available(kNow) == 9);
  bucket.change(5, 4, kNow);
  CHECK(bucket.available(kNow) == 4);
}

TEST_CASE("a clock that steps back takes nothing and gives nothing twice") {
  TokenBucket bucket(1, 10);
  bucket.charge(10);
  CHECK(bucket.available(kNow) == 0);
  CHECK(bucket.available(kNow + 2s) == 2);
  CHECK(bucket.available(kNow + 1s) == 2);
  CHECK(bucket.available(kNow + 2s) == 2);
}

}  // namespace flodea
