// Compiled definitions of core/.
#include "deeplight/core/atomic_file_inl.hpp"
