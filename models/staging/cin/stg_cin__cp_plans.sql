-- One row per child protection plan record of a Children in Need return.
-- Names, types and codes of raw.cin_cp_plans; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'cin_cp_plans') }}

),

final as (

    select
        return_id,
        la_code,
        return_year,
        child_no,
        child_id,
        referral_no,
        record_no,
        plan_start,
        plan_end,
        {{ code_or_null('initial_category_code') }} as initial_category_code,
        {{ code_or_null('latest_category_code') }} as latest_category_code,
        n_previous_plans as n_previous_plans_stated
    from records

)

select * from final
