#include "cli/commands/prune.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "cli/commands/bulk.h"

namespace flodea::cli {
namespace {

namespace pb = operators::v1;

}  // namespace

Result<std::vector<std::string>> to_prune(Client& client,
                                          const std::vector<Deployment>& deployments,
                                          const std::string& selector) {
  std::set<std::string> kept;
  for (const Deployment& deployment : deployments)
    kept.insert(deployment.manifest.message.metadata().name());
  auto all = TRY(agents_by_name(client));
  std::vector<std::string> names;
  for (const auto& [name, agent] : TRY(agents_by_name(client, selector))) {
    if (!kept.contains(name)) names.push_back(name);
  }
  if (names.empty() || names.size() < all.size()) return names;
  auto error = fail(Code::kFailedPrecondition,
                    fmt::format("--prune would remove every agent there is ({}): none of them is "
                                "in these manifests",
                                fmt::join(names, ", ")))
                   .value();
  return tl::unexpected(
      std::move(error).with_remedy("name the right directory, or say flodea rm --all"));
}

Status prune(Session& session, const std::vector<std::string>& names, Data data) {
  if (names.empty()) return {};
  auto remove = [&](const std::string& name) -> Result<std::string> {
    Client* client = TRY(session.client());
    pb::RemoveRequest request;
    request.set_name(name);
    request.set_keep_data(data == Data::kKept);
    auto receipt = TRY(client->call(&pb::Operators::Stub::Remove, request));
    if (!session.table()) return render_item(receipt, session.format);
    return name + (data == Data::kKept ? " removed, its data kept\n" : " removed\n");
  };
  return for_each_agent(session, names, remove, TRY(stop_precedence(session, names)));
}

}  // namespace flodea::cli
