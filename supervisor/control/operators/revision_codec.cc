#include "supervisor/control/operators/revision_codec.h"

#include "supervisor/control/operators/spec_codec.h"
#include "supervisor/control/operators/wire_time.h"

namespace flodea::control {
namespace {

namespace pb = operators::v1;

pb::Revision encode_revision(const RevisionView& view) {
  pb::Revision wire;
  wire.set_revision(view.revision);
  if (view.created != Nanos::zero()) *wire.mutable_created() = encode_time(view.created);
  wire.set_author(view.author);
  wire.set_digest(view.digest);
  if (!view.manifest.spec.bundle.empty()) wire.set_bundle(view.manifest.spec.bundle.text());
  wire.set_current(view.current);
  wire.set_restorable(view.restorable);
  return wire;
}

}  // namespace

Result<pb::ListRevisionsResponse> encode_revisions(const std::vector<RevisionView>& revisions,
                                                   std::uint64_t wanted) {
  pb::ListRevisionsResponse wire;
  for (const RevisionView& view : revisions) {
    if (wanted != 0 && view.revision != wanted) continue;
    pb::Revision* one = wire.add_revisions();
    *one = encode_revision(view);
    if (wanted != 0) *one->mutable_manifest() = encode_manifest(view.manifest);
  }
  if (wanted == 0 || wire.revisions_size() > 0) return wire;
  auto error =
      fail(Code::kNotFound, "there is no revision " + std::to_string(wanted) + " of it").value();
  return tl::unexpected(
      std::move(error).with_field("revision").with_remedy("`flodea revisions NAME` lists them"));
}

}  // namespace flodea::control
