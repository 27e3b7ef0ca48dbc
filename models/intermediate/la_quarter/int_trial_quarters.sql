-- One row per programme and calendar quarter of its trial period, and the quarter before it (position 0), to which
-- authority covariates are carried.

with
programmes as (

    select * from {{ ref('programmes') }}

),

positions as (

    select
        programme,
        {{ quarter_start('trial_start') }} as first_quarter,
        {{ whole_numbers(
            0,
            '1 + cast(floor(' ~ calendar_months_between(quarter_start('trial_start'), 'trial_end') ~ ' / 3.0) as integer)'
        ) }} as quarter_no
    from programmes

),

final as (

    select
        programme,
        cast(quarter_no as integer) as quarter_no,
        {{ add_months('first_quarter', '3 * (cast(quarter_no as integer) - 1)') }} as quarter_start
    from positions

)

select * from final
