// What the CPU and CUDA kernels share is computed by one function for both.
//
// Always inlined: no copy compiled for one instruction set is called from code for another.
#pragma once

#if defined(__CUDACC__)
#define DEEPLIGHT_HOST_DEVICE __host__ __device__ __forceinline__
#elif defined(_MSC_VER)
#define DEEPLIGHT_HOST_DEVICE __forceinline
#else
#define DEEPLIGHT_HOST_DEVICE inline __attribute__((always_inline))
#endif
