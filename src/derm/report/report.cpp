#include "derm/report/report.h"
