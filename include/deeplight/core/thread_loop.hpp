// A loop over a few plain threads, for programs that are compiled without OpenMP: there
// `at::parallel_for` is an inline template that runs everything on the calling thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace deeplight {

/// Calls body(first, last) on contiguous parts of [begin, end), one per thread, the last of them on
/// the calling thread; returns when all are done. An exception of a part is thrown again here.
/// @param threads  at most; no more than there are items are started
template <class Body>
void thread_loop(std::int64_t threads, std::int64_t begin, std::int64_t end, const Body& body) {
  if (begin >= end) return;
  const std::int64_t parts = std::clamp<std::int64_t>(threads, 1, end - begin);
  if (parts == 1) return body(begin, end);
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(parts));
  const auto run = [&](std::int64_t part) {
    try {
      body(begin + (end - begin) * part / parts, begin + (end - begin) * (part + 1) / parts);
    } catch (...) {
      errors[static_cast<std::size_t>(part)] = std::current_exception();
    }
  };
  std::vector<std::thread> workers;
  workers.reserve(static_cast<std::size_t>(parts - 1));
  std::int64_t started = 0;
  try {
    for (; started < parts - 1; ++started) workers.emplace_back(run, started);
  } catch (const std::system_error&) {
    // No more threads to be had: the rest is done here.
  }
  for (std::int64_t part = started; part < parts; ++part) run(part);
  for (std::thread& worker : workers) worker.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace deeplight
