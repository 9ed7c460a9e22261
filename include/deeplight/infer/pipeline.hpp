// Stages of work in threads of their own, joined by bounded queues. No torch, no GDAL.
//
// The first exception of any stage stops all of them and reaches the caller.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace deeplight {

/// What a `Crew` can cancel.
class Cancellable {
 public:
  virtual void cancel() noexcept = 0;

 protected:
  ~Cancellable() = default;
};

/// First in, first out; at most `capacity` elements. Any number of threads on either side.
template <class T>
class BoundedQueue final : public Cancellable {
 public:
  explicit BoundedQueue(std::size_t capacity) : capacity_(capacity == 0 ? 1 : capacity) {}
  BoundedQueue(const BoundedQueue&) = delete;
  BoundedQueue& operator=(const BoundedQueue&) = delete;

  /// Waits for room. False, and nothing is added, once the queue is closed or cancelled.
  bool push(T element) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return over() || elements_.size() < capacity_; });
    if (over()) return false;
    elements_.push_back(std::move(element));
    changed_.notify_all();
    return true;
  }

  /// Waits for an element. Nothing, once the queue is closed and empty, or cancelled.
  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return over() || !elements_.empty(); });
    if (cancelled_ || elements_.empty()) return std::nullopt;
    std::optional<T> first(std::move(elements_.front()));
    elements_.pop_front();
    changed_.notify_all();
    return first;
  }

  /// No more will come; what is there can still be taken.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

  /// Wakes everybody; what is there is dropped. Takes no memory: the lack of it may be the reason.
  void cancel() noexcept override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    elements_.clear();
    changed_.notify_all();
  }

 private:
  bool over() const { return closed_ || cancelled_; }

  const std::size_t capacity_;
  std::deque<T> elements_;
  bool closed_ = false;
  bool cancelled_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
};

/// Threads that work together: when one throws, the queues are cancelled and all end.
class Crew {
 public:
  explicit Crew(std::vector<Cancellable*> queues) : queues_(std::move(queues)) {}
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;
  /// Cancels what still runs, and waits for it.
  ~Crew() {
    cancel();
    join();
  }

  /// Starts `stage` in a thread of its own.
  void start(std::function<void()> stage) {
    threads_.emplace_back([this, stage = std::move(stage)] { work(stage); });
  }

  /// Runs `stage` in the calling thread, as one of the crew.
  void work(const std::function<void()>& stage) {
    try {
      stage();
    } catch (...) {
      {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
      }
      cancel();
    }
  }

  /// Waits for all. @throws  the first exception of any stage
  void finish() {
    join();
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

  bool failed() {
    const std::lock_guard lock(mutex_);
    return failure_ != nullptr;
  }

 private:
  void cancel() {
    for (Cancellable* queue : queues_) queue->cancel();
  }
  void join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  std::vector<Cancellable*> queues_;
  std::vector<std::thread> threads_;
  std::exception_ptr failure_;
  std::mutex mutex_;
};

}  // namespace deeplight
