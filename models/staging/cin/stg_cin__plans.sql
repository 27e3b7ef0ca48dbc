-- One row per child in need plan record of a Children in Need return.
-- Names, types and codes of raw.cin_plans; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'cin_plans') }}

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
        plan_end
    from records

)

select * from final
