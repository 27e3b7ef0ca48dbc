-- Periods of care of one child do not overlap: each starts on or after the day the one before it ended
-- (definitions, section 3).

with
care_periods as (

    select * from {{ ref('int_care_periods') }}

),

periods_with_previous as (

    select
        la_code,
        child_id,
        care_start,
        lag(care_end) over (partition by la_code, child_id order by care_start) as previous_end,
        lag(care_period_id) over (partition by la_code, child_id order by care_start) as previous_period_id
    from care_periods

)

select
    la_code,
    child_id,
    care_start
from periods_with_previous
where previous_period_id is not null and (previous_end is null or previous_end > care_start)
