// Compiled definitions of weights/.
#include "deeplight/weights/card_inl.hpp"
