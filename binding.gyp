{
  # One prefgrad.node: the glue, and the same kernel sources once per instruction set. Adding an op changes nothing here.
  "variables": {
    "common_flags": ["-O3", "-std=c++17", "-fvisibility=hidden", "-Wall", "-Wextra", "-fno-exceptions", "-fno-rtti"],
    # Bits are a promise: no contraction and no reassociation behind the kernels' back.
    "kernel_flags": ["-O3", "-std=c++17", "-fvisibility=hidden", "-Wall", "-Wextra", "-fno-exceptions", "-fno-rtti",
                     "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
  },
  "target_defaults": {
    "cflags!": ["-O2", "-fno-omit-frame-pointer"],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-exceptions", "-fno-rtti", "-O2"],
    "ldflags": ["-Wl,-z,nodelete"],
    "xcode_settings": { "CLANG_CXX_LANGUAGE_STANDARD": "c++17", "GCC_OPTIMIZATION_LEVEL": "3", "OTHER_CPLUSPLUSFLAGS": ["-ffp-contract=off"] }
  },
  "targets": [
    {
      # make begins with the first name of the alphabet, and this is what takes longest to compile.
      "target_name": "cpu_any",
      "type": "static_library",
      "sources": ["native/cpu_baseline.cc"],
      "cflags_cc": ["<@(kernel_flags)"]
    },
    {
      "target_name": "cpu_avx2",
      "type": "static_library",
      "sources": ["native/cpu_avx2.cc"],
      "cflags_cc": ["<@(kernel_flags)", "-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2"]
    },
    {
      "target_name": "cpu_avx512",
      "type": "static_library",
      "sources": ["native/cpu_avx512.cc"],
      "cflags_cc": ["<@(kernel_flags)", "-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2", "-mavx512f", "-mavx512bw", "-mavx512cd",
                    "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"]
    },
    {
      "target_name": "prefgrad",
      "sources": ["native/addon.cc", "native/cpu_device.cc", "native/thread_pool.cc", "native/cuda_addon.cc", "native/cuda_device.cc",
                  "native/cuda_driver.cc", "native/cuda_ops.cc"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "dependencies": ["cpu_any"],
      "conditions": [["target_arch=='x64'", { "dependencies": ["cpu_avx2", "cpu_avx512"] }]],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "cflags_cc": ["-O2", "-std=c++17", "-fvisibility=hidden", "-Wall", "-Wextra"]
    },
    {
      # For `npm run bench` only: what memory and arithmetic can do here at best.
      "target_name": "ceilings",
      "sources": ["native/ceilings.cc", "native/thread_pool.cc"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "cflags_cc": ["-O3", "-std=c++17", "-fvisibility=hidden", "-Wall", "-Wextra"]
    },
    {
      # For `npm run bench -- --tax` only: prepared calls replayed by a loop in C++.
      "target_name": "tax",
      "sources": ["native/tax.cc", "native/cpu_device.cc", "native/thread_pool.cc"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "dependencies": ["cpu_any"],
      "conditions": [["target_arch=='x64'", { "dependencies": ["cpu_avx2", "cpu_avx512"] }]],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "cflags_cc": ["-O2", "-std=c++17", "-fvisibility=hidden", "-Wall", "-Wextra"]
    }
  ]
}
