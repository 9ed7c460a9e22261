#pragma once

#include <cstdint>

std::int64_t parameters_of_the_default_network();
