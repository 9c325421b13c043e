import unittest

from selftest.tree import TreeTest

import layers


class Layers(TreeTest):
    def include(self, path, *includes):
        self.write(path, "".join(f"#include {include}\n" for include in includes))

    def test_an_arrow_may_be_followed(self):
        self.include("policy/quota.cc", '"policy/quota.h"', '"base/result.h"', "<vector>")
        self.include("modules/storage/store.cc", '"modules/storage/store.h"', '"policy/quota.h"')
        self.include("modules/storage/store_service.cc", '"flodea/storage/v1/store.grpc.pb.h"', "<grpcpp/grpcpp.h>")
        self.include("supervisor/root/spawn.cc", '"policy/seccomp_profile.h"', '"flodea/root/v1/root.pb.h"')
        self.include("supervisor/control/main.cc", '"modules/storage/store.h"', '"runtimes/python/python.h"')
        self.include("tests/integration/x_test.cc", '"supervisor/root/spawn.h"', '"worker/launch.h"')
        self.include("modules/kernel/clock_test.cc", '"tests/support/fake_clock.h"')
        self.assertEqual(self.places(layers), [])

    def test_what_is_for_tests_stays_with_them(self):
        self.include("worker/testing/harness.cc", '"worker/testing/harness.h"', '"tests/support/temporary_dir.h"')
        self.include("worker/worker_test.cc", '"worker/testing/harness.h"')
        self.include("bench/rpc.cc", '"worker/testing/harness.h"')
        self.include("worker/main.cc", '"worker/testing/harness.h"', '"tests/support/temporary_dir.h"')
        self.assertEqual(self.places(layers), ["worker/main.cc:1", "worker/main.cc:2"])

    def test_an_arrow_is_not_reversed(self):
        self.include("base/result.cc", "<vector>", '"policy/quota.h"')
        self.include("worker/main.cc", '"supervisor/root/spawn.h"')
        self.include("supervisor/control/main.cc", '"supervisor/vault/key.h"')
        self.include("cli/main.cc", '"modules/storage/store.h"')
        self.include("policy/quota.cc", "<flodea/root/v1/root.pb.h>")
        self.assertEqual(self.places(layers), ["base/result.cc:2", "cli/main.cc:1", "policy/quota.cc:1",
                                               "supervisor/control/main.cc:1", "worker/main.cc:1"])

    def test_modules_do_not_know_each_other(self):
        self.include("modules/storage/store.cc", '"modules/kernel/clock.h"')
        self.assertEqual(self.places(layers), ["modules/storage/store.cc:1"])

    def test_root_knows_only_self_restriction_of_policy_and_its_own_proto(self):
        self.include("supervisor/root/a.cc", '"policy/agent_spec.h"', '"flodea/operators/v1/spec.pb.h"', '"base/sqlite.h"')
        self.assertEqual(self.places(layers), [f"supervisor/root/a.cc:{line}" for line in (1, 2, 3)])

    def test_grpc_stays_out_of_root_and_of_domain_code(self):
        self.include("supervisor/root/a.cc", "<grpcpp/grpcpp.h>")
        self.include("modules/storage/store.cc", '"flodea/storage/v1/store.pb.h"')
        self.assertEqual(self.places(layers), ["modules/storage/store.cc:1", "supervisor/root/a.cc:1"])

    def test_includes_are_written_from_the_root(self):
        self.include("base/a.cc", '"a.h"')
        self.write("base/a.h", "")
        self.assertEqual(self.places(layers), ["base/a.cc:1"])

    def test_a_commented_include_is_none(self):
        self.write("base/a.cc", '// #include "policy/quota.h"\n/*\n#include "policy/quota.h"\n*/\n')
        self.assertEqual(self.places(layers), [])

    def test_every_folder_has_a_layer(self):
        self.include("utils/misc.cc", "<vector>")
        self.include("modules/loose.cc", "<vector>")
        self.assertEqual(self.places(layers), ["modules/loose.cc:1", "utils/misc.cc:1"])

    def test_protos_import_protos(self):
        self.write("proto/flodea/root/v1/root.proto", 'import "google/rpc/status.proto";\nimport "base/x.proto";\n')
        self.assertEqual(self.places(layers), ["proto/flodea/root/v1/root.proto:2"])


class Links(TreeTest):
    def setUp(self):
        super().setUp()
        self.write("base/CMakeLists.txt", "flodea_library(base SOURCES a.cc)\nflodea_library(sqlite SOURCES sqlite.cc LINK flodea_base)\n")
        self.write("policy/CMakeLists.txt", "flodea_library(policy_seccomp SOURCES seccomp.cc LINK flodea_base)\n")
        self.write("proto/CMakeLists.txt", """\
            flodea_proto(root LITE FILES flodea/root/v1/root.proto)
            flodea_proto(operators GRPC FILES flodea/operators/v1/operators.proto LINK flodea_proto_root)
            """)
        self.write("modules/CMakeLists.txt", """\
            flodea_library(storage SOURCES storage/store.cc LINK flodea_base)
            flodea_library(storage_service SOURCES storage/store_service.cc LINK flodea_storage flodea_grpc_operators)
            flodea_library(kernel SOURCES kernel/clock.cc LINK flodea_base)
            """)

    def test_links_along_the_arrows_pass(self):
        self.write("supervisor/root/CMakeLists.txt",
                   "flodea_program(flodead SOURCES main.cc LINK flodea_base flodea_policy_seccomp flodea_proto_root)\n")
        self.assertEqual(self.places(layers), [])

    def test_root_links_neither_modules_nor_grpc_nor_other_protos(self):
        self.write("supervisor/root/CMakeLists.txt", """\
            flodea_program(flodead
              SOURCES main.cc
              LINK flodea_base
                   flodea_storage  # a module
                   ext_grpc
                   flodea_proto_operators
                   flodea_sqlite)
            """)
        self.assertEqual(self.places(layers), [f"supervisor/root/CMakeLists.txt:{line}" for line in (4, 5, 6, 7)])

    def test_a_module_does_not_link_another(self):
        self.write("modules/network/CMakeLists.txt", "add_library(flodea_network x.cc)\ntarget_link_libraries(flodea_network\n  PUBLIC flodea_kernel)\n")
        self.assertEqual(self.places(layers), ["modules/network/CMakeLists.txt:3"])

    def test_domain_libraries_do_not_link_grpc(self):
        self.write("modules/wallet/CMakeLists.txt", "flodea_library(wallet SOURCES wallet.cc LINK flodea_grpc_operators)\n")
        self.assertEqual(self.places(layers), ["modules/wallet/CMakeLists.txt:1"])

    def test_base_does_not_link_upwards(self):
        self.write("base/CMakeLists.txt", "flodea_library(base SOURCES a.cc LINK flodea_policy_seccomp)\n")
        self.assertEqual(self.places(layers), ["base/CMakeLists.txt:1"])


if __name__ == "__main__":
    unittest.main()
