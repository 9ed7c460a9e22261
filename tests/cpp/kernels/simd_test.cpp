#include "deeplight/kernels/simd.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace simd = deeplight::kernels::simd;

TEST_CASE_TEMPLATE("a pack computes what its lanes would", Arch, simd::Scalar, simd::Native) {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    using Pack = simd::Pack<T, Arch>;
    std::vector<T> a(Pack::width + 1), b(a), c(a), out(a);
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = T(i) + 1, b[i] = 3 - T(i), c[i] = T(i * i);
    // One past the start: nothing may ask for alignment.
    const auto x = Pack::load(&a[1]), y = Pack::load(&b[1]), z = Pack::load(&c[1]);
    T total = 0;
    const auto lanes = [&](Pack result, auto expected) {
      result.store(&out[1]);
      for (std::size_t i = 1; i < a.size(); ++i) CHECK(out[i] == expected(a[i], b[i], c[i]));
    };
    lanes(x + y, [](T p, T q, T) { return p + q; });
    lanes(x - y, [](T p, T q, T) { return p - q; });
    lanes(x * y, [](T p, T q, T) { return p * q; });
    lanes(fma(x, y, z), [](T p, T q, T r) { return p * q + r; });
    lanes(max(x, y), [](T p, T q, T) { return p > q ? p : q; });
    lanes(min(x, y), [](T p, T q, T) { return p < q ? p : q; });
    for (std::size_t i = 1; i < a.size(); ++i) total += a[i];
    CHECK(x.sum() == total);
  };
  check(0.0F);
  check(0.0);
}

TEST_CASE_TEMPLATE("sums_of adds the lanes of each row", Arch, simd::Scalar, simd::Native) {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    using Pack = simd::Pack<T, Arch>;
    std::vector<T> rows(Pack::width * Pack::width), out(Pack::width);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = T((i * 7) % 23);
    Pack::sums_of(rows.data()).store(out.data());
    for (std::int64_t i = 0; i < Pack::width; ++i) {
      T expected = 0;
      for (std::int64_t j = 0; j < Pack::width; ++j) expected += rows[i * Pack::width + j];
      CHECK(out[i] == expected);
    }
  };
  check(0.0F);
  check(0.0);
}
