#include "supervisor/control/operators/list_codec.h"

#include <algorithm>
#include <functional>

#include <catch2/catch_test_macros.hpp>

namespace flodea::control {
namespace {

namespace pb = operators::v1;

std::vector<AgentView> agents(std::size_t count, std::size_t spec_bytes = 0) {
  std::vector<AgentView> views;
  for (std::size_t i = count; i > 0; --i) {  // the order given is not the order told
    AgentView view;
    view.manifest.name = "a" + std::to_string(1000 + i);
    for (std::size_t bytes = 0; bytes < spec_bytes; bytes += 4096)
      view.manifest.spec.runtime.args.emplace_back(4096, 'x');
    views.push_back(std::move(view));
  }
  return views;
}

// All pages, one after the other.
std::vector<pb::ListResponse> pages_of(const std::vector<AgentView>& all, std::uint32_t size) {
  std::vector<pb::ListResponse> pages;
  pb::ListRequest request;
  request.set_page_size(size);
  do {
    REQUIRE(check_list_request(request));
    pages.push_back(encode_list_page(all, request));
    request.set_page_token(pages.back().next_page_token());
  } while (!request.page_token().empty());
  return pages;
}

}  // namespace

TEST_CASE("pages tell every agent once, by name") {
  for (std::size_t count : {0, 1, 2, 3, 4, 250}) {
    CAPTURE(count);
    std::vector<std::string> told;
    for (const auto& page : pages_of(agents(count), 2)) {
      CHECK(page.agents_size() <= 2);
      for (const pb::Agent& agent : page.agents()) told.push_back(agent.name());
    }
    CHECK(told.size() == count);
    CHECK(std::ranges::is_sorted(told, std::less_equal<>()));
  }
  CHECK(pages_of(agents(250), 0).front().agents_size() == kDefaultListPage);
  CHECK(pages_of(agents(250), kMaxListPage).size() == 1);
}

TEST_CASE("a page is cut before it outgrows a message, and always has an agent") {
  auto pages = pages_of(agents(70, 512 << 10), kMaxListPage);
  CHECK(pages.size() == 9);
  for (const auto& page : pages) CHECK(page.ByteSizeLong() < kMaxListBytes + (1 << 20));
}

TEST_CASE("a listing goes on after an agent that is gone") {
  pb::ListRequest request;
  request.set_page_token("a1002x");
  CHECK(encode_list_page(agents(3), request).agents(0).name() == "a1003");
}

TEST_CASE("sizes and tokens that no page had are refused with their field") {
  pb::ListRequest request;
  request.set_page_size(kMaxListPage + 1);
  CHECK(check_list_request(request).error().field == "page_size");
  request.set_page_size(1);
  request.set_page_token("Not A Name");
  CHECK(check_list_request(request).error().field == "page_token");
}

}  // namespace flodea::control
