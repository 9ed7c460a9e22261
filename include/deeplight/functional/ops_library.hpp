// A symbol of deeplight::ops. The operators register themselves when that library is loaded, and
// nothing else refers to it: without a reference, linkers that drop unused libraries would drop it.
#pragma once

#if defined(__GNUC__)
#define DEEPLIGHT_EXPORT __attribute__((visibility("default")))
#else
#define DEEPLIGHT_EXPORT
#endif

namespace deeplight::ops {

/// Does nothing; calling it makes the program depend on the operators' library.
DEEPLIGHT_EXPORT void link();

}  // namespace deeplight::ops
