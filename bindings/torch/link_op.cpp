// See functional/ops_library.hpp.
#include "deeplight/functional/ops_library.hpp"

namespace deeplight::ops {

void link() {}

}  // namespace deeplight::ops
