// Compiled definitions of weights/.
#include "deeplight/weights/card_inl.hpp"
#include "deeplight/weights/safetensors_inl.hpp"
