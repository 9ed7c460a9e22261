// Compiles the kernels of a .cuh with the host's compiler and executes them, without a GPU.
//
// Include it before the .cuh. Threads of a block are fibers: each runs up to its next barrier, then
// the next one runs, in a chosen order, so that what one thread leaves to chance between two
// barriers gives another result in another order. Blocks run one after another, also in that order.
// Shared memory is exactly as large as asked for and starts as NaN; where AddressSanitizer is on,
// it sees every step too far, there as in global memory. What this cannot show: speed, and what
// memory models allow beside an order of whole steps.
//
// Kernels keep to dynamic shared memory, `extern __shared__ unsigned char block_memory[]`, in the
// namespace deeplight::kernels.
#pragma once

#if defined(__CUDACC__)
#error "cuda_on_cpu.hpp is for the host's compiler"
#endif

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __host__
#define __shared__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

namespace deeplight::cuda_on_cpu {

struct Dim {
  unsigned x = 1, y = 1, z = 1;
};

enum class Order { forward, backward, shuffled };
inline constexpr Order orders[] = {Order::forward, Order::backward, Order::shuffled};

inline constexpr std::size_t most_shared = 227 * 1024, warp_size = 32;

}  // namespace deeplight::cuda_on_cpu

namespace deeplight::kernels {
alignas(32) inline unsigned char block_memory[deeplight::cuda_on_cpu::most_shared + 64];
}

inline deeplight::cuda_on_cpu::Dim threadIdx{0, 0, 0}, blockIdx{0, 0, 0}, blockDim, gridDim;

namespace deeplight::cuda_on_cpu {

enum class Waits { no, for_warp, for_block, finished };

/// The threads of one block.
class Block {
 public:
  explicit Block(unsigned threads) : fibers_(threads), exchanged_(threads) {}

  static Block*& running() {
    static Block* block = nullptr;
    return block;
  }

  /// Runs `body` once per thread, with barriers between the steps.
  void run(const std::function<void()>& body, Dim block, const std::vector<unsigned>& order) {
    body_ = &body, shape_ = block;
    running() = this;
    for (unsigned thread = 0; thread < fibers_.size(); ++thread) prepare(thread);
    for (;;) {
      bool moved = false;
      for (const unsigned thread : order) {
        if (fibers_[thread].waits != Waits::no) continue;
        enter(thread);
        moved = true;
      }
      if (release_warps() || moved) continue;
      if (!release_block()) break;
    }
    running() = nullptr;
  }

  /// Called by a thread: waits until the others of its warp or block are here, too.
  void wait(Waits kind) {
    Fiber& fiber = fibers_[current_];
    fiber.waits = kind;
    leave(&fiber.fake_stack);
  }

  template <class T>
  T exchange(T value, unsigned lane_of_source) {
    static_assert(sizeof(T) <= 8);
    std::memcpy(&exchanged_[current_], &value, sizeof(T));
    const unsigned source = current_ / warp_size * warp_size + lane_of_source;
    wait(Waits::for_warp);
    if (lane_of_source < warp_size && source < fibers_.size())
      std::memcpy(&value, &exchanged_[source], sizeof(T));
    wait(Waits::for_warp);
    return value;
  }

  unsigned lane() const { return current_ % warp_size; }

 private:
  static constexpr std::size_t stack_size = 128 * 1024;

  struct Fiber {
    ucontext_t context;
    std::unique_ptr<unsigned char[]> stack;
    Waits waits = Waits::no;
    void* fake_stack = nullptr;
  };

  void prepare(unsigned thread) {
    Fiber& fiber = fibers_[thread];
    fiber.waits = Waits::no, fiber.fake_stack = nullptr;
    if (!fiber.stack) fiber.stack.reset(new unsigned char[stack_size]);
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(fiber.stack.get(), stack_size);  // of the block before
#endif
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = stack_size;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, &Block::start, 0);
  }

  static void start() {
    Block& block = *running();
    block.arrive(nullptr);
    (*block.body_)();
    block.fibers_[block.current_].waits = Waits::finished;
    block.leave(nullptr);
  }

  void enter(unsigned thread) {
    current_ = thread;
    threadIdx = {thread % shape_.x, thread / shape_.x % shape_.y, thread / shape_.x / shape_.y};
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, fibers_[thread].stack.get(), stack_size);
#endif
    swapcontext(&scheduler_, &fibers_[thread].context);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
  }

  void arrive([[maybe_unused]] void* fake) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, &scheduler_stack_, &scheduler_stack_size_);
#endif
  }

  void leave([[maybe_unused]] void** fake) {
    Fiber& fiber = fibers_[current_];
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(fake, scheduler_stack_, scheduler_stack_size_);
#endif
    swapcontext(&fiber.context, &scheduler_);
    arrive(fiber.fake_stack);
  }

  bool release_warps() {
    bool released = false;
    for (std::size_t first = 0; first < fibers_.size(); first += warp_size) {
      const std::size_t last = std::min(first + warp_size, fibers_.size());
      const auto at = [&](std::size_t i) { return fibers_[i].waits == Waits::for_warp; };
      std::size_t here = 0;
      for (std::size_t i = first; i < last; ++i) here += at(i);
      if (here == 0) continue;
      if (here != last - first) continue;  // the others may still come: they wait for the block
      for (std::size_t i = first; i < last; ++i) fibers_[i].waits = Waits::no;
      released = true;
    }
    return released;
  }

  /// False when every thread has finished.
  bool release_block() {
    std::size_t here = 0, finished = 0;
    for (const Fiber& fiber : fibers_) {
      here += fiber.waits == Waits::for_block;
      finished += fiber.waits == Waits::finished;
    }
    if (finished == fibers_.size()) return false;
    if (here != fibers_.size())
      throw std::logic_error("a barrier that not all threads of the block or warp reach");
    for (Fiber& fiber : fibers_) fiber.waits = Waits::no;
    return true;
  }

  std::vector<Fiber> fibers_;
  std::vector<std::uint64_t> exchanged_;
  const std::function<void()>* body_ = nullptr;
  Dim shape_;
  ucontext_t scheduler_;
  const void* scheduler_stack_ = nullptr;
  std::size_t scheduler_stack_size_ = 0;
  unsigned current_ = 0;
};

inline std::vector<unsigned> sequence(unsigned count, Order order) {
  std::vector<unsigned> values(count);
  std::iota(values.begin(), values.end(), 0U);
  if (order == Order::backward) std::reverse(values.begin(), values.end());
  if (order == Order::shuffled) std::shuffle(values.begin(), values.end(), std::mt19937(count));
  return values;
}

/// kernel<<<grid, block, shared>>>, where `body` calls the kernel with its arguments; `only`: this
/// one of its blocks alone.
inline void launch(Dim grid, Dim block, std::size_t shared, Order order,
                   const std::function<void()>& body, std::int64_t only = -1) {
  const unsigned blocks = grid.x * grid.y * grid.z, threads = block.x * block.y * block.z;
  if (threads == 0 || threads > 1024 || grid.y > 65535 || grid.z > 65535 || shared > most_shared)
    throw std::logic_error("a launch that no device accepts");
  gridDim = grid, blockDim = block;
  Block fibers(threads);
  const auto thread_order = sequence(threads, order);
  const auto chosen = only < 0 ? sequence(blocks, order) : std::vector<unsigned>{unsigned(only)};
  for (const unsigned i : chosen) {
    blockIdx = {i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y};
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(kernels::block_memory, sizeof(kernels::block_memory));
#endif
    std::memset(kernels::block_memory, 0xFF, shared);
#if defined(__SANITIZE_ADDRESS__)
    ASAN_POISON_MEMORY_REGION(kernels::block_memory + shared,
                              sizeof(kernels::block_memory) - shared);
#endif
    fibers.run(body, block, thread_order);
  }
}

/// Address space without memory behind it: only the pages that are touched exist.
template <class T>
class Vast {
 public:
  explicit Vast(std::int64_t count) : size_(std::size_t(count) * sizeof(T)) {
    data_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data_ == MAP_FAILED) throw std::bad_alloc();
  }
  ~Vast() { munmap(data_, size_); }
  Vast(const Vast&) = delete;
  Vast& operator=(const Vast&) = delete;
  T* data() const { return static_cast<T*>(data_); }

 private:
  std::size_t size_;
  void* data_;
};

/// bfloat16 with the conversions of PyTorch's: rounded to nearest, ties to even.
struct Brief {
  std::uint16_t bits = 0;
  Brief() = default;
  Brief(float value) {
    std::uint32_t wide;
    std::memcpy(&wide, &value, 4);
    bits = std::uint16_t(value != value ? 0x7FC0 : (wide + 0x7FFF + (wide >> 16 & 1)) >> 16);
  }
  operator float() const {
    const std::uint32_t wide = std::uint32_t(bits) << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
  }
};

}  // namespace deeplight::cuda_on_cpu

inline void __syncthreads() {
  using namespace deeplight::cuda_on_cpu;
  Block::running()->wait(Waits::for_block);
}
inline void __syncwarp(unsigned = ~0U) {
  using namespace deeplight::cuda_on_cpu;
  Block::running()->wait(Waits::for_warp);
}
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  return deeplight::cuda_on_cpu::Block::running()->exchange(value, unsigned(lane) % 32);
}
template <class T>
T __shfl_down_sync(unsigned, T value, unsigned delta) {
  auto& block = *deeplight::cuda_on_cpu::Block::running();
  return block.exchange(value, block.lane() + delta);
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  auto& block = *deeplight::cuda_on_cpu::Block::running();
  return block.exchange(value, block.lane() ^ unsigned(mask));
}
template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T atomicAdd(T* address, T value) {
  const T before = *address;
  *address = before + value;
  return before;
}
template <class T>
T atomicMax(T* address, T value) {
  const T before = *address;
  *address = std::max(before, value);
  return before;
}
