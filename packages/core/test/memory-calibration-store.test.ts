import { MemoryCalibrationStore } from '@tallygate/core'
import { describeCalibrationStore } from '@tallygate/testkit'

describeCalibrationStore('MemoryCalibrationStore', async (most) => new MemoryCalibrationStore({ most }))
