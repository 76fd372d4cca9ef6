# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# add_nvx_program(NAME SOURCES...): the same test program twice, NAME_kernel with plain libc calls (the sanity run, and
# the one for LD_PRELOAD) and NAME_nv with the nv* calls of libnvmmio.so.

function(add_nvx_program name)
    foreach(variant kernel nv)
        add_executable(${name}_${variant} ${ARGN} ${PROJECT_SOURCE_DIR}/tests/support/nvx.c)
        target_include_directories(${name}_${variant} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
        target_link_libraries(${name}_${variant} PRIVATE nvmmio_flags Threads::Threads)
    endforeach()
    target_compile_definitions(${name}_kernel PRIVATE NVX_KERNEL)
    target_link_libraries(${name}_nv PRIVATE nvmmio)
endfunction()
